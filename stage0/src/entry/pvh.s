# Entry of a PVH domain.
#
# Who jumps here: a domain builder (Xen's libxl, its PVH dom0 builder, QEMU, a VMM), as the PVH boot ABI says
# (Xen's docs/misc/pvh.pandoc). State: 32-bit protected mode, paging off, EBX = physical address of hvm_start_info,
# CS flat and executable, DS, ES, SS flat and writable, interrupts off. Nothing else is relied upon: no stack, no GDT
# register, no task register, no direction flag, no zeroed memory; and of the processor, no more than an 80486 has.
#
# Leaves in 64-bit mode on tables that map the first 4 GiB three times (1:1 for this code, at the window through which
# all other code sees physical memory, and its first GiB at VIRT_BASE, where the image is linked), unpacks the rest of
# the image, and calls the main function with EDI = the address of hvm_start_info.

.set VIRT_BASE, {virt_base}
.set LARGE, 0x83                # present, writable, 2 MiB
.set TABLE, 0x03                # present, writable

# What stage0.ld compares with its own numbers.
.global stage0_virt_base
.set stage0_virt_base, {virt_base}
.global stage0_trust_offset
.set stage0_trust_offset, {trust_offset}

.section .text.entry, "ax"
.code32
.global stage0_pvh_entry
stage0_pvh_entry:
    cld
    cli
    lgdt stage0_gdt_pointer - VIRT_BASE
    ljmp $0x08, $(1f - VIRT_BASE)
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs

    # Builders need not zero what the file does not hold.
    movl $(__bss_start - VIRT_BASE), %edi
    movl $(__bss_end - VIRT_BASE), %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    rep stosl

    # What stage0 needs of the processor. Where this flag cannot be changed, there is no CPUID.
    movl $(__stack_top - VIRT_BASE), %esp
    movl %ebx, %ebp
    pushfl
    xorl ${flag_id}, (%esp)
    movl (%esp), %eax
    popfl
    pushfl
    xorl (%esp), %eax
    xorl ${flag_id}, (%esp)
    popfl
    testl ${flag_id}, %eax
    jnz unfit
    movl $1, %eax
    cpuid
    notl %edx
    testl ${features}, %edx
    jnz unfit
    # A leaf that is not there may have any content.
    movl ${extended}, %eax
    cpuid
    cmpl ${extended} + 1, %eax
    jb unfit
    movl ${extended} + 1, %eax
    cpuid
    btl ${long_mode}, %edx
    jnc unfit
    # EFER: no-execute where there is such a thing; it is reserved elsewhere.
    shrl ${no_execute} - {nxe}, %edx
    andl $(1 << {nxe}), %edx
    orl ${lme}, %edx
    movl %edx, %esi
    movl %ebp, %ebx

    # {tables}: level 4, level 3 for low and for high addresses, four of level 2.
    movl $({tables} - VIRT_BASE), %edi
    leal 0x1000 + TABLE(%edi), %eax
    movl %eax, (%edi)                   # 0: 1:1
    movl %eax, {window_slot} * 8(%edi)
    leal 0x2000 + TABLE(%edi), %eax
    movl %eax, 0xff8(%edi)              # 511: the top 512 GiB
    leal 0x3000 + TABLE(%edi), %eax
    movl %eax, 0x2ff0(%edi)             # 510 in there: VIRT_BASE
    xorl %ecx, %ecx
2:  movl %eax, 0x1000(%edi,%ecx,8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $4, %ecx
    jb 2b
    xorl %ecx, %ecx
    movl $LARGE, %eax
3:  movl %eax, 0x3000(%edi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jb 3b

    movl %edi, %cr3
    movl %cr4, %eax
    orl ${cr4}, %eax
    movl %eax, %cr4
    movl ${efer}, %ecx
    rdmsr
    orl %esi, %eax
    wrmsr
    movl %cr0, %eax
    orl ${cr0}, %eax
    movl %eax, %cr0
    ljmp $0x18, $(4f - VIRT_BASE)

.code64
4:  movabsq $5f, %rax
    jmp *%rax
5:  movabsq $__stack_top, %rsp
    xorl %ebp, %ebp
    movq $__packed, %rdi
    movq $__body, %rsi
    call {unpack}
    movl %ebx, %edi
    call {main}
    ud2

# Says that there is no going on, by what 32-bit code reaches in any domain, and ends it.
.code32
unfit:
    movl $({unfit} - VIRT_BASE), %esi
6:  movl ${patience}, %ecx
    movw ${com1_status}, %dx
7:  inb %dx, %al                        # all ones where there is no port
    testb ${ready}, %al
    loopz 7b
    movw ${com1}, %dx
    lodsb
    outb %al, %dx
    outb %al, ${debug_port}
    cmpb $'\n', %al
    jne 6b
    movb ${failed}, %al
    outb %al, ${debug_exit}
8:  hlt
    jmp 8b

.section .rodata.entry, "a"
.balign 8
# Accessed bits are set, so that the processor does not write to the file's bytes.
stage0_gdt:
    .quad 0
    .quad {code32}                      # 0x08: 32-bit code
    .quad {data}                        # 0x10: data
    .quad {code64}                      # 0x18: 64-bit code
stage0_gdt_pointer:
    .word . - stage0_gdt - 1
    .long stage0_gdt - VIRT_BASE

# Note names and descriptors are padded to 4 bytes, and the program header says so: QEMU reads them by its p_align.
.section .note.xen, "a"
.balign 4
    .long 4, 4, {note_phys32_entry}
    .asciz "Xen"
    .long stage0_pvh_entry - VIRT_BASE
