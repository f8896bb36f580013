# The last instructions of a PVH handover; copied to a page of their own, which is mapped 1:1.
#
# Who jumps here: handover/pvh.rs, in 64-bit mode, interrupts off, with RDI = the page's address, EBX = the address of
# start_info. The page holds, at the offsets given, a GDT (32-bit code 0x08, data 0x10, task segment 0x18) and its pointer.
# Leaves in the state of the PVH boot ABI (Xen's docs/misc/pvh.pandoc): 32-bit, paging off, flat segments with base 0 and
# limit 4 GiB, a busy 32-bit task segment with base 0 and limit 0x67, EBX = start_info, all other registers 0.

.section .rodata.trampoline, "a"
.global stage0_trampoline
.global stage0_trampoline_jump
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
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    movl %eax, %cr4
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
    xorl %eax, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    xorl %esp, %esp
    .byte 0xe9                  # jmp, whose displacement handover/pvh.rs writes
stage0_trampoline_jump:
    .long 0
stage0_trampoline_end:
