# The last instructions of a PV handover; copied to the end of a page of the kernel's memory, which both the old and the new
# page tables map at the same address.
#
# Who calls this: handover/pv/hinge.rs, with RDI = the page's address, RSI = start_info's, RDX = end of the boot stack. The page begins
# with the two operations, followed by a 32-bit count of those that Xen carried out.
# Leaves as libxenguest starts a vCPU (xg_dom_x86.c, vcpu_x86_64): RSI and RSP, all other registers 0, RFLAGS 0x202. Only
# the part behind stage0_hinge_tail is left in memory. Comes back, on the old tables, if Xen refuses.

.section .rodata.hinge, "a"
.global stage0_hinge
.global stage0_hinge_tail
.global stage0_hinge_end
.code64
stage0_hinge:
    movq %rdi, %r12
    movq %rsi, %r13
    movq %rdx, %r14
    movl $2, %esi
    leaq {done}(%rdi), %rdx
    movl ${self}, %r10d
    movl ${mmuext_op}, %eax
    syscall
    cmpl $0, {done}(%r12)
    je 1f
    movq %r12, %rdi
    movq %r13, %rsi
    movq %r14, %rsp
    xorl %ebx, %ebx
    xorl %edx, %edx
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    xorl %eax, %eax
    incl %eax                   # leaves no flag set
    movl $0, %eax
    movl $(4096 - (stage0_hinge_end - stage0_hinge_tail)), %ecx
    jmp stage0_hinge_tail
1:  ret
stage0_hinge_tail:
    rep stosb                   # zeroes the page up to here
    movl $0, %edi
    .byte 0xe9                  # jmp, whose displacement hinge.rs writes
    .long 0
stage0_hinge_end:
