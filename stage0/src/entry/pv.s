# Entry of a PV domain.
#
# Who jumps here: libxenguest, or Xen's dom0 builder, as public/xen.h says ("Start-of-day memory layout"). State: 64-bit
# mode on the builder's page tables, which map all up to the boot stack and half a MiB behind from VIRT_BASE on; RSI =
# virtual address of start_info, RSP = end of the boot stack, events masked. Neither zeroed memory nor flags are relied
# upon.
#
# Leaves on stage0's own stack, unpacks the rest of the image, and calls the main function with RDI = start_info, RSI = end of the boot stack.

.section .text.entry, "ax"
.code64
.global stage0_pv_entry
stage0_pv_entry:
    cld
    movq %rsi, %rbx
    movq %rsp, %r12
    movq $__bss_start, %rdi
    movq $__bss_end, %rcx
    subq %rdi, %rcx
    shrq $3, %rcx
    xorl %eax, %eax
    rep stosq
    movq $__stack_top, %rsp
    xorl %ebp, %ebp
    movq $__packed, %rdi
    movq $__body, %rsi
    call {unpack}
    movq %rbx, %rdi
    movq %r12, %rsi
    call {main}
    ud2

# What libelf asks of a PV kernel. Neither MOD_START_PFN nor INIT_P2M: all that is handed over is mapped.
.section .note.xen, "a"
.balign 4
    .long 4, 8, {entry}
    .asciz "Xen"
    .quad stage0_pv_entry
    .long 4, 8, {virt_base}
    .asciz "Xen"
    .quad {base}
    .long 4, 8, {paddr_offset}
    .asciz "Xen"
    .quad 0
    .long 4, 8, {xen_version}
    .asciz "Xen"
    .asciz "xen-3.0"
    .long 4, 7, {guest_os}
    .asciz "Xen"
    .asciz "mstrap"
    .balign 4
    .long 4, 8, {loader}
    .asciz "Xen"
    .asciz "generic"
