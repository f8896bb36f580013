# memcpy and memmove, which the compiler calls. Those of compiler_builtins begin a `rep` for each short copy, which takes longer
# than the copy.
#
# Who jumps here: any code, by the C calling convention (System V ABI for x86-64): RDI = to, RSI = from, RDX = bytes,
# direction flag clear. Returns RAX = to. Needs no stack; changes RCX, RDX, RSI, RDI, R8 to R11.

.section .text.copy, "ax"
.code64
.global stage0_copy
.global stage0_move

# The two may overlap.
.balign 16
stage0_move:
    movq %rdi, %rax
    subq %rsi, %rax
    cmpq %rdx, %rax
    jae stage0_copy             # not with `to` within `from`: upwards each byte is read before it is written
    movq %rdi, %rax
    cmpq $16, %rdx
    jbe 5f
    # Downwards, eight bytes at a time; what is left at the start was read before any of it is written.
    movq (%rsi), %r8
1:  movq -8(%rsi,%rdx), %rcx
    movq %rcx, -8(%rdi,%rdx)
    subq $8, %rdx
    cmpq $8, %rdx
    ja 1b
    movq %r8, (%rdi)
    ret

# Upwards. `from` may be within `to`, or not overlap.
.balign 16
stage0_copy:
    movq %rdi, %rax
    cmpq $16, %rdx
    jbe 5f
    cmpq $512, %rdx
    jae 4f
    # The last 16 bytes are read before any byte is written, and written last.
    movq -16(%rsi,%rdx), %r8
    movq -8(%rsi,%rdx), %r9
    leaq -16(%rdi,%rdx), %r10
2:  movq (%rsi), %rcx
    movq 8(%rsi), %r11
    movq %rcx, (%rdi)
    movq %r11, 8(%rdi)
    addq $16, %rsi
    addq $16, %rdi
    cmpq %r10, %rdi
    jb 2b
    movq %r8, (%r10)
    movq %r9, 8(%r10)
    ret
4:  movq %rdx, %rcx
    movl %edx, %r8d
    shrq $3, %rcx
    rep movsq
    movl %r8d, %ecx
    andl $7, %ecx
    rep movsb
    ret

# At most 16 bytes: all are read before any is written.
5:  cmpq $8, %rdx
    jb 6f
    movq (%rsi), %rcx
    movq -8(%rsi,%rdx), %r8
    movq %rcx, (%rdi)
    movq %r8, -8(%rdi,%rdx)
    ret
6:  cmpq $4, %rdx
    jb 7f
    movl (%rsi), %ecx
    movl -4(%rsi,%rdx), %r8d
    movl %ecx, (%rdi)
    movl %r8d, -4(%rdi,%rdx)
    ret
7:  testq %rdx, %rdx
    jz 8f
    movzbl (%rsi), %ecx
    movzbl -1(%rsi,%rdx), %r8d
    leaq -1(%rdi,%rdx), %r10
    shrq $1, %rdx
    movzbl (%rsi,%rdx), %r9d
    movb %cl, (%rdi)
    movb %r9b, (%rdi,%rdx)
    movb %r8b, (%r10)
8:  ret
