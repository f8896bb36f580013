# Exceptions: one stub for each vector.
#
# Who jumps here: the processor, in 64-bit mode, through the IDT of platform/fault.rs, interrupts off. On the stack:
# SS, RSP, RFLAGS, CS, RIP, and for some vectors an error code. Does not return.

.macro stub vector, has_code
    .balign {stub_len}          # a stub takes at most 9 bytes
    .if \has_code == 0
    pushq $0
    .endif
    pushq $\vector
    jmp stage0_fault
.endm

.section .text.fault, "ax"
.code64
.balign {stub_len}
.global stage0_fault_stubs
stage0_fault_stubs:
    stub 0, 0
    stub 1, 0
    stub 2, 0
    stub 3, 0
    stub 4, 0
    stub 5, 0
    stub 6, 0
    stub 7, 0
    stub 8, 1
    stub 9, 0
    stub 10, 1
    stub 11, 1
    stub 12, 1
    stub 13, 1
    stub 14, 1
    stub 15, 0
    stub 16, 0
    stub 17, 1
    stub 18, 0
    stub 19, 0
    stub 20, 0
    stub 21, 1
    stub 22, 0
    stub 23, 0
    stub 24, 0
    stub 25, 0
    stub 26, 0
    stub 27, 0
    stub 28, 0
    stub 29, 1
    stub 30, 1
    stub 31, 0

# The same in a PV domain. Who jumps here: Xen, as the trap table of platform/fault.rs says; on the stack, RCX and R11 come
# before all else.
.macro pv_stub vector
    .balign {stub_len}
    popq %rcx
    popq %r11
    jmp stage0_fault_stubs + \vector * {stub_len}
.endm

.balign {stub_len}
.global stage0_pv_fault_stubs
stage0_pv_fault_stubs:
    .irp vector, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    pv_stub \vector
    .endr

stage0_fault:
    popq %rdi                   # vector
    popq %rsi                   # error code
    popq %rdx                   # RIP
    andq $-16, %rsp
    call {report}
    ud2
