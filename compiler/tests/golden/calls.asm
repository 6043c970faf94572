; wasm-function[1] "pair"
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rdx, %rax
  movq %rsi, %rcx
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  call    User(userextname0)
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[3]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x90(%rdi), %r8
  movq -0x88(%rdi), %rdi
  call    *%r8
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[4]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x90(%rdi), %r10
  movq -0x88(%rdi), %rdi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi

; wasm-function[5] "even"
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  testl %esi, %esi
  jz      label2; j label1
block1:
  subl $0x2, %esi
  return_call_known User(userextname0) (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block2:
  jmp     label3
block3:
  movl $0x1, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[6]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  testq %rdx, %rdx
  jz      label5; j label1
block1:
  movq (%rdx), %r10
  movq 8(%rdx), %r11
  cmpq %rdi, %r11
  jz      label3; j label2
block3:
  call    *%r10
  jmp     label4
block4:
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq %r11, %rdi
  call    *%r10
  jmp     label4
block5:
  call    User(userextname0)
  ud2

; wasm-function[7]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  testq %rdx, %rdx
  jz      label4; j label1
block1:
  movq (%rdx), %r10
  movq 8(%rdx), %r9
  cmpq %rdi, %r9
  jz      label3; j label2
block3:
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block2:
  movq %r9, %rdi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block4:
  call    User(userextname0)
  ud2

; wasm-function[8]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0xa8(%rdi), %rax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[9]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  leaq -0xe0(%rdi), %rax
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

; precast.host[1]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
  subq $0x20, %rsp
block0:
  leaq <offset:1>+(%rsp), %r8
  movl %esi, <offset:1>+(%rsp)
  movq %rdx, <offset:1>+0x10(%rsp)
  movq (%rdi), %r9
  movq %r8, %rsi
  call    *%r9
  movq <offset:1>+(%rsp), %rax
  movl <offset:1>+0x10(%rsp), %ecx
  addq $0x20, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

