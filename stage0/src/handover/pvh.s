# The last instructions of a handover; copied to a page of their own, which is mapped 1:1.
#
# Who jumps here: handover/pvh.rs, in 64-bit mode, interrupts off, with RDI = the page's address, EBX = the address of
# start_info. The page holds, at the offsets given, a GDT (32-bit code 0x08, data 0x10, task segment 0x18, 64-bit code
# 0x20) and its pointer; where the kernel is entered in another mode than PVH's, its page tables map the page 1:1 too.
# Leaves in the state of the PVH boot ABI (Xen's docs/misc/pvh.pandoc): 32-bit, paging off, flat segments with base 0 and
# limit 4 GiB, a busy 32-bit task segment with base 0 and limit 0x67, EBX = start_info, all other registers 0. Or, by the
# direct protocol, with paging on by those tables, and a stack: in 32-bit mode the same registers, in 64-bit mode RDI =
# start_info.

.section .rodata.trampoline, "a"
.global stage0_trampoline
.global stage0_trampoline_jump
.global stage0_trampoline_long
.global stage0_trampoline_registers
.global stage0_trampoline_end
.code64
stage0_trampoline:
    lgdt {gdt_pointer}(%rdi)
    leaq (1f - stage0_trampoline)(%rdi), %rax
    pushq $0x08
    pushq %rax
    lretq
.code32
1:  movl ${cr0}, %eax
    movl %eax, %cr0
    movl ${efer}, %ecx
    movl (stage0_trampoline_registers - stage0_trampoline + {efer_at})(%edi), %eax
    xorl %edx, %edx
    wrmsr
    movl (stage0_trampoline_registers - stage0_trampoline + {cr4_at})(%edi), %eax
    movl %eax, %cr4
    movl (stage0_trampoline_registers - stage0_trampoline + {cr3_at})(%edi), %eax
    movl %eax, %cr3
    lidt {idt_pointer}(%edi)
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $0x18, %eax
    ltr %ax
    movl (stage0_trampoline_registers - stage0_trampoline + {sp_at})(%edi), %esp
    movl (stage0_trampoline_registers - stage0_trampoline + {cr0_at})(%edi), %eax
    movl %eax, %cr0
    xorl %eax, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    .byte 0xff, 0x2d            # ljmp *, the place of whose operand handover/pvh.rs writes
stage0_trampoline_jump:
    .long 0
.code64
stage0_trampoline_long:
    # A change of mode leaves the upper halves undefined.
    movl %esp, %esp
    movl %ebx, %edi
    xorl %ebx, %ebx
    xorl %eax, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    jmp *(stage0_trampoline_registers + {entry_at})(%rip)
stage0_trampoline_registers:
    .skip {registers_len}       # Registers of handover/pvh.rs
stage0_trampoline_end:
