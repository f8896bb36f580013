# Who jumps here: stage0, by the direct protocol, in 32-bit mode with PAE paging. Notes what it finds into STATE, which is zero,
# tries what should fault, and goes on in 64-bit mode, where the image has the same addresses and the first 4 GiB are mapped
# 1:1, on the stack that it got.
#
# EBP = the address of `here`, EDI = that of STATE, from the first instructions on.

# QEMU's TCG notes in the four top entries of PAE that they were used, which no processor does: the bit is reserved there. A
# hypervisor in it that reads these tables, to emulate an instruction that it intercepts, takes them for broken then.
    .macro forget_use offset, base
    .irp entry, 0, 8, 16, 24
    andl $~0x20, (\offset + \entry)(\base)
    .endr
    .endm

    .section .text.entry, "ax"
    .balign 4096
    .code32
    .global probe_entry32
probe_entry32:
    pushal
    pushfl
    call here
here:
    popl %ebp
    leal ({STATE} - here)(%ebp), %edi
    popl {FLAGS}(%edi)
    # What pushal left, the last first.
    .irp number, 5, 4, 6, 7, 1, 3, 2, 0
    popl ({REGISTERS} + 8 * \number)(%edi)
    .endr
    cld
    forget_use {TABLES}, %ebx
    movl %cr0, %eax
    movl %eax, {CR0}(%edi)
    forget_use {TABLES}, %ebx
    movl %cr3, %eax
    movl %eax, {CR3}(%edi)
    forget_use {TABLES}, %ebx
    movl %cr4, %eax
    movl %eax, {CR4}(%edi)
    .set number, 0
    .irp register, cs, ds, es, fs, gs, ss
    movl %\register, %eax
    movl %eax, ({SELECTORS} + 4 * number)(%edi)
    .set number, number + 1
    .endr
    sgdt {GDT}(%edi)
    sidt {IDT}(%edi)
    movl ${MSR_EFER}, %ecx
    forget_use {TABLES}, %ebx
    rdmsr
    movl %eax, {EFER}(%edi)
    movl (%esp), %eax
    movl %eax, {RETURN}(%edi)
    movl 4(%esp), %eax
    movl %eax, {ARGUMENT}(%edi)
    movl $32, {WIDTH}(%edi)

    # One gate, for page faults.
    leal (page_fault32 - here)(%ebp), %eax
    movl %eax, %ecx
    andl $0xffff, %eax
    movl %cs, %edx
    shll $16, %edx
    orl %edx, %eax
    movl %eax, ({GATES} + 14 * 8)(%edi)
    andl $0xffff0000, %ecx
    orl $0x8e00, %ecx
    movl %ecx, ({GATES} + 14 * 8 + 4)(%edi)
    leal {GATES}(%edi), %eax
    pushl %eax
    pushl $((15 * 8 - 1) << 16)
    lidt 2(%esp)
    addl $8, %esp

    # A write to text at its own address and 1:1, a jump to data, a write below the stack.
    leal {TRIES}(%edi), %edx
    xorl %ecx, %ecx
    movl ({TABLE} - here + {TO_TRY})(%ebp), %esi
    call try32
    movl ({TABLE} - here + {TO_TRY} + 8)(%ebp), %esi
    call try32
    incl %ecx
    movl ({TABLE} - here + {TO_TRY} + 16)(%ebp), %esi
    testl ${EFER_NXE}, {EFER}(%edi)
    jnz 1f
    addl $24, %edx                          # without no-execute pages, data would be executed
    jmp 2f
1:  call try32
2:  decl %ecx
    leal (20 - 64 * 1024 - 1)(%esp), %esi
    call try32

    # Page tables, at the bottom of the stack (level 4, level 3, PAE's, four of level 2, the image's): 1:1 by large pages,
    # but for the image, which keeps its addresses. EDX = ESI = where they are.
    leal (20 - 64 * 1024)(%esp), %edx
    movl %edi, %esi
    movl %edx, %edi
    xorl %eax, %eax
    movl $(8 * 1024), %ecx
    rep stosl
    movl %esi, %edi
    movl %edx, %esi
    leal 0x1003(%edx), %eax                 # level 4 -> level 3
    movl %eax, (%esi)
    xorl %ecx, %ecx
    leal 0x3003(%edx), %eax                 # level 3, and that of PAE, -> four of level 2
1:  movl %eax, 0x1000(%esi,%ecx,8)
    movl %eax, 0x1020(%esi,%ecx,8)          # and once more 4 GiB above, where no segment is
    andl $~2, %eax
    movl %eax, 0x2000(%esi,%ecx,8)
    addl $0x1002, %eax
    incl %ecx
    cmpl $4, %ecx
    jb 1b
    xorl %ecx, %ecx
    movl $0x83, %eax
2:  movl %eax, 0x3000(%esi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jb 2b
    leal (text_start - here)(%ebp), %ecx    # level 2 -> the image's
    shrl $21, %ecx
    leal 0x7003(%edx), %eax
    movl %eax, 0x3000(%esi,%ecx,8)
    leal (text_start - here)(%ebp), %ecx
    shrl $12, %ecx
    andl $511, %ecx
    movl ({TABLE} - here + {PLACES})(%ebp), %eax
    leal (rodata_start - here)(%ebp), %ebx
    call map
    movl ({TABLE} - here + {PLACES} + 8)(%ebp), %eax
    leal (data_start - here)(%ebp), %ebx
    call map
    movl ({TABLE} - here + {PLACES} + 16)(%ebp), %eax
    leal (data_end - here)(%ebp), %ebx
    call map

    # The GDT, and what is jumped to in 64-bit mode.
    leal (gdt - here)(%ebp), %eax
    pushl %eax
    pushl $((3 * 8 - 1) << 16)
    lgdt 2(%esp)
    addl $8, %esp
    pushl $0x08
    leal (long_mode - here)(%ebp), %eax
    pushl %eax

    # PAE by the new tables, which execute everything, to go on 1:1; there paging is off for a moment.
    leal 0x2000(%edx), %eax
    movl %eax, %cr3
    movl ({TABLE} - here + {PLACES})(%ebp), %eax
    leal (text_start - here)(%ebp), %ecx
    subl %ecx, %eax
    leal (4f - here)(%ebp,%eax), %eax
    movl %edx, %esi
    jmp *%eax
4:  forget_use 0x2000, %esi
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    forget_use 0x2000, %esi
    movl %eax, %cr0
    movl %esi, %cr3
    movl ${MSR_EFER}, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    lret

# Maps at EAX what of the image lies up to EBX, ECX being its first entry in its table. ECX is then the next one's.
map:
    shrl $12, %ebx
    andl $511, %ebx
    orl $3, %eax
5:  movl %eax, 0x7000(%esi,%ecx,8)
    addl $0x1000, %eax
    incl %ecx
    cmpl %ebx, %ecx
    jb 5b
    ret

# ESI = an address, ECX = what to do there: 0 write, 1 jump. Notes at EDX whether that was a page fault, its code, its address.
try32:
    movl %esp, {TRY_STACK}(%edi)
    testl %ecx, %ecx
    jnz 6f
    movb $0x5a, (%esi)
    jmp 7f
6:  call *%esi
7:  addl $24, %edx
    ret
page_fault32:
    popl (%edx)
    forget_use {TABLES}, %ebx
    movl %cr2, %eax
    movl %eax, 8(%edx)
    movl $1, 16(%edx)
    movl {TRY_STACK}(%edi), %esp
    jmp 7b

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff                # 0x08: 64-bit code
    .quad 0x00cf93000000ffff                # 0x10: data

    .code64
long_mode:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %esp, %esp
    leaq {STATE}(%rip), %rdi
    andq $-16, %rsp
    call {MAIN}
    ud2
