# Who jumps here: a domain builder, by the PVH protocol (Xen's docs/misc/pvh.pandoc).
#   CPU       32-bit protected mode, paging off, flat segments, interrupts off
#   EBX       physical address of hvm_start_info, in writable memory
#   else      unspecified: no stack, no GDT, no IDT, DF unknown
#
# It notes the CPU's state into STATE before changing it, looks whether .bss is zero before writing there, and goes on in
# long mode with the first 4 GiB mapped 1:1 and the image mapped at IMAGE_VIRT.
#
# EBP holds the physical address of the image from the first pop on; what is linked at IMAGE_VIRT + n lies at EBP + n,
# and OFFSET (2^64 - IMAGE_VIRT) added to a symbol makes n of it.

    .section .text.entry, "ax"
    .code32
    .global probe_entry
probe_entry:
    cmp     dword ptr [ebx], {MAGIC}
    jne     no_start_info
    # The one memory known to be ours to write: the magic's four bytes, as a stack, and restored.
    lea     esp, [ebx + 4]
    pushfd
    pop     edx
    call    here
here:
    pop     ebp
    sub     ebp, offset here + {OFFSET}
    mov     dword ptr [ebx], {MAGIC}
    cld

    # .bss: ESI = address of the first double word that is not zero, or 0. Then it is made zero.
    xor     eax, eax
    xor     esi, esi
    lea     edi, [ebp + bss_start + {OFFSET}]
    mov     ecx, offset bss_dwords
    repe    scasd
    je      3f
    lea     esi, [edi - 4]
3:  lea     edi, [ebp + bss_start + {OFFSET}]
    mov     ecx, offset bss_dwords
    rep     stosd
    lea     esp, [ebp + {STACK} + {STACK_SIZE} + {OFFSET}]

    lea     edi, [ebp + {STATE} + {OFFSET}]
    mov     [edi + {EFLAGS}], edx
    mov     [edi + {START_INFO}], ebx
    mov     [edi + {IMAGE}], ebp
    mov     [edi + {BSS_NONZERO}], esi
    mov     eax, cr0
    mov     [edi + {CR0}], eax
    mov     eax, cr4
    mov     [edi + {CR4}], eax
    mov     ecx, {MSR_EFER}
    rdmsr
    mov     [edi + {EFER}], eax
    mov     [edi + {EFER} + 4], edx
    sgdt    [edi + {GDTR}]

    # Selector, access rights and limit of each segment register: the latter two only tell something where the
    # selector is not null.
    .macro  note_segment number
    movzx   eax, ax
    mov     [edi + {SEGMENTS} + 12 * \number], eax
    lar     ecx, eax
    jnz     4f
    mov     [edi + {SEGMENTS} + 12 * \number + 4], ecx
    lsl     ecx, eax
    jnz     4f
    mov     [edi + {SEGMENTS} + 12 * \number + 8], ecx
4:
    .endm
    mov     eax, cs
    note_segment 0
    mov     eax, ds
    note_segment 1
    mov     eax, es
    note_segment 2
    mov     eax, ss
    note_segment 3
    str     eax
    note_segment 4

    # Each by use, which needs no selector: the image found where EIP says, and the last byte of 4 GiB reached. A
    # segment whose limit is lower ends here, by triple fault: the probe's last line is then missing.
    .macro  use_segment segment, bit
    mov     al, \segment:[0xffffffff]
    cmp     dword ptr \segment:[ebp], {FIRST_BYTES}
    jne     5f
    or      dword ptr [edi + {USED}], 1 << \bit
5:
    .endm
    use_segment cs, 0
    use_segment ds, 1
    use_segment es, 2
    use_segment ss, 3

    # Page tables. 1:1: four page directories of 2 MiB pages, one behind the other.
    .macro  point_to entry, table
    lea     eax, [ebp + {TABLES} + 4096 * \table + {OFFSET} + {PRESENT_WRITABLE}]
    mov     [ebp + {TABLES} + \entry + {OFFSET}], eax
    .endm
    point_to 0, 1                           # level 4 -> level 3 of the 1:1 map
    point_to 4096 + 0, 2                    # level 3 -> its four level 2 tables
    point_to 4096 + 8, 3
    point_to 4096 + 16, 4
    point_to 4096 + 24, 5
    point_to 511 * 8, 6                     # level 4 -> level 3 of the image's map
    point_to 4096 * 6 + 510 * 8, 7
    point_to 4096 * 7, 8
    lea     edi, [ebp + {TABLES} + 4096 * 2 + {OFFSET}]
    mov     eax, {PRESENT_WRITABLE} | {LARGE}
6:  mov     [edi], eax
    add     edi, 8
    add     eax, 0x200000
    jnc     6b
    lea     edi, [ebp + {TABLES} + 4096 * 8 + {OFFSET}]
    lea     eax, [ebp + {PRESENT_WRITABLE}]
    mov     ecx, 512
7:  mov     [edi], eax
    add     edi, 8
    add     eax, 4096
    loop    7b

    # Long mode.
    lea     eax, [ebp + {TABLES} + {OFFSET}]
    mov     cr3, eax
    mov     eax, cr4
    or      eax, {CR4_PAE}
    mov     cr4, eax
    mov     ecx, {MSR_EFER}
    rdmsr
    or      eax, {EFER_LME}
    wrmsr
    mov     eax, cr0
    or      eax, {CR0_PG}
    mov     cr0, eax
    lea     eax, [ebp + gdt + {OFFSET}]
    push    eax
    push    {GDT_LIMIT} << 16
    lgdt    [esp + 2]
    lea     eax, [ebp + long_mode + {OFFSET}]
    push    {CODE}
    push    eax
    retf

    # EBX does not point to a start_info: there is no memory to work with, and none is needed to say so.
no_start_info:
    .irpc   letter, "not_ok_start_info.magic"
    mov     al, '\letter'
    out     0xe9, al
    mov     dx, 0x3f8
    out     dx, al
    .endr
    mov     al, 10
    out     0xe9, al
    out     dx, al
    mov     al, {EXIT_NOT_OK}
    out     0xf4, al
8:  hlt
    jmp     8b

    .balign 8
gdt:
    .quad   0
    .quad   0x00af9b000000ffff              # CODE: 64-bit code, execute and read
    .quad   0x00cf93000000ffff              # DATA: flat, read and write

    .code64
long_mode:
    mov     eax, {DATA}
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    xor     eax, eax
    mov     fs, eax
    mov     gs, eax
    mov     rsp, offset {STACK} + {STACK_SIZE}
    xor     ebp, ebp
    mov     rax, offset {MAIN}
    call    rax

    # Every exception comes here: an interrupt gate for each of the 32 vectors (exception.rs).
    .global probe_exception
probe_exception:
    mov     rdi, rsp
    mov     rsi, cr2
    and     rsp, -16
    call    {EXCEPTION}
