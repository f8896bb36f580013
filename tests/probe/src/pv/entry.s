# Who jumps here: a domain builder, by the PV protocol for x86-64 (Xen's public/arch-x86/xen-x86_64.h and xen.h).
#   CPU       long mode, ring 3 by Xen's own descriptors, paging by the builder's tables, events off
#   RSI       virtual address of start_info
#   RSP       top of the builder's stack page
#   else      what the probe is there to tell
#
# It notes the registers into STATE, a page of the image's file bytes, before changing them, looks whether .bss is zero before
# writing there, and goes on upon a stack of its own, so that the builder's page stays as it is.

    .section .text.entry, "ax"
    .global probe_entry
probe_entry:
    .set    number, 0
    .irp    register, rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15
    mov     [rip + {STATE} + {REGISTERS} + 8 * number], \register
    .set    number, number + 1
    .endr
    lea     rsp, [rip + {STATE} + {FLAGS} + 8]
    pushfq
    cld
    .set    number, 0
    .irp    register, cs, ds, es, fs, gs, ss
    mov     eax, \register
    mov     [rip + {STATE} + {SELECTORS} + 8 * number], rax
    .set    number, number + 1
    .endr
    fxsave64 [rip + {STATE} + {FPU}]

    # .bss: the address of the first quad word that is not zero, or 0. Then it is made zero.
    xor     eax, eax
    lea     rdi, [rip + bss_start]
    lea     rcx, [rip + bss_end]
    sub     rcx, rdi
    shr     rcx, 3
    mov     rdx, rcx
    repe    scasq
    je      1f
    sub     rdi, 8
    mov     [rip + {STATE} + {BSS_NONZERO}], rdi
    lea     rdi, [rip + bss_start]
    mov     rcx, rdx
    rep     stosq
    # All of the stack is written, so that which of its pages are dirty does not depend on how deep it gets.
1:  lea     rdi, [rip + {STACK}]
    mov     ecx, {STACK_SIZE} / 8
    rep     stosq
    mov     rsp, rdi
    xor     ebp, ebp
    call    {MAIN}
    ud2
