# Who jumps here: stage0, by the direct protocol, in 64-bit mode. Notes what it finds into STATE, which is zero, and goes on
# upon the stack that it got.

    .section .text.entry, "ax"
    .code64
    .global probe_entry
probe_entry:
    movq %rax, ({STATE} + {REGISTERS})(%rip)
    .set number, 1
    .irp register, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15
    movq %\register, ({STATE} + {REGISTERS} + 8 * number)(%rip)
    .set number, number + 1
    .endr
    pushfq
    popq ({STATE} + {FLAGS})(%rip)
    cld
    .macro note place, source
    movq \source, %rax
    movq %rax, ({STATE} + \place)(%rip)
    .endm
    note {CR0}, %cr0
    note {CR3}, %cr3
    note {CR4}, %cr4
    .set number, 0
    .irp register, cs, ds, es, fs, gs, ss
    movl %\register, %eax
    movl %eax, ({STATE} + {SELECTORS} + 4 * number)(%rip)
    .set number, number + 1
    .endr
    sgdt ({STATE} + {GDT})(%rip)
    sidt ({STATE} + {IDT})(%rip)
    movl ${MSR_EFER}, %ecx
    rdmsr
    movl %eax, ({STATE} + {EFER})(%rip)
    movq (%rsp), %rax
    movq %rax, ({STATE} + {RETURN})(%rip)
    movl $64, ({STATE} + {WIDTH})(%rip)
    leaq {STATE}(%rip), %rdi
    andq $-16, %rsp
    call {MAIN}
    ud2

# RDI = an address, ESI = what to do there: 0 write, 1 jump. Returns whether that was a page fault.
    .global probe_try
probe_try:
    pushq %rbx
    pushq %rbp
    movq %rsp, ({STATE} + {TRY_STACK})(%rip)
    testl %esi, %esi
    jnz 1f
    movb $0x5a, (%rdi)
    jmp 2f
1:  call *%rdi
2:  xorl %eax, %eax
    popq %rbp
    popq %rbx
    ret

# Page faults come here; the error code is on top of the stack.
    .global probe_page_fault
probe_page_fault:
    popq ({STATE} + {TRIES})(%rip)
    movq %cr2, %rax
    movq %rax, ({STATE} + {TRIES} + 8)(%rip)
    movq ({STATE} + {TRY_STACK})(%rip), %rsp
    movl $1, %eax
    popq %rbp
    popq %rbx
    ret
