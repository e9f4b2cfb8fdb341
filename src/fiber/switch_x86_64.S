/* switch_x86_64.S - fiber_switch(void **save_sp, void *load_sp): System V x86-64. Saves the
 * callee-saved registers on the old stack and loads them from the new one. MXCSR and the x87
 * control word are left alone on purpose: no code of ours changes rounding modes, and saving
 * them costs ten times the switch on virtual machines. */
.text
.globl fiber_switch
.type fiber_switch,@function
fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
.size fiber_switch, .-fiber_switch
.section .note.GNU-stack,"",@progbits
