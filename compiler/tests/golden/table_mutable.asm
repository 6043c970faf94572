; wasm-function[0] "f"
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rsi, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[1]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x88(%rdi), %rcx
  movl %esi, %edx
  cmpq %rcx, %rdx
  jnb     label9; j label1
block1:
  movq -0x90(%rdi), %rsi
  movq %rdx, %rax
  shlq $0x5, %rax
  leaq (%rsi, %rax), %rax
  cmpq %rcx, %rdx
  cmovaeq %rsi, %rax
  movl 0x10(%rax), %ecx
  movl -0x128(%rdi), %edx
  cmpl %edx, %ecx
  jz      label5; j label2
block5:
  movq (%rax), %rcx
  movq 8(%rax), %rax
  cmpq %rdi, %rax
  jz      label7; j label6
block7:
  movl $0x7, %esi
  call    *%rcx
  jmp     label8
block8:
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  testl %ecx, %ecx
  jnz     label4; j label3
block3:
  call    User(userextname2)
  ud2
block4:
  call    User(userextname1)
  ud2
block6:
  movl $0x7, %esi
  movq %rax, %rdi
  call    *%rcx
  jmp     label8
block9:
  call    User(userextname0)
  ud2

; wasm-function[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x88(%rdi), %rcx
  movl %esi, %edx
  cmpq %rcx, %rdx
  jnb     label8; j label1
block1:
  movq -0x90(%rdi), %rsi
  movq %rdx, %rax
  shlq $0x5, %rax
  leaq (%rsi, %rax), %rax
  cmpq %rcx, %rdx
  cmovaeq %rsi, %rax
  movl 0x10(%rax), %ecx
  movl -0x128(%rdi), %edx
  cmpl %edx, %ecx
  jz      label5; j label2
block5:
  movq (%rax), %r10
  movq 8(%rax), %rax
  cmpq %rdi, %rax
  jz      label7; j label6
block7:
  movl $0x7, %esi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block2:
  testl %ecx, %ecx
  jnz     label4; j label3
block3:
  call    User(userextname2)
  ud2
block4:
  call    User(userextname1)
  ud2
block6:
  movl $0x7, %esi
  movq %rax, %rdi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block8:
  call    User(userextname0)
  ud2

; precast.init
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x18(%rdi), %r8
  movq 0x40(%r8), %r9
  uninit  %rcx
  xorq %rcx, %rcx
  movl $0x1, %r8d
  movq %r8, %rdx
  movq %rcx, %rsi
  call    *%r9
  movq %rbp, %rsp
  popq %rbp
  retq

; precast.enter[0]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 16 }
  subq $0x10, %rsp
  movq %r12, (%rsp)
  unwind SaveReg { clobber_offset: 0, reg: p12i }
block0:
  movq %rsi, %r9
  movl (%rdx), %esi
  movq %rdx, %r12
  call    *%r9
  movq %r12, %rdx
  movl %eax, (%rdx)
  movq (%rsp), %r12
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

