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

; wasm-function[1] "g"
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  load_ext_name userextname0+0, %rax
  movl %esi, %edx
  movl $0x1388, %ecx
  cmpq $0x1388, %rdx
  cmovbq %rdx, %rcx
  movzwq 0x4e24(%rax, %rcx, 2), %rdx
  cmpl $0x1, %edx
  jz      label4; j label1
block4:
  movslq (%rax, %rcx, 4), %rcx
  leaq (%rax, %rcx), %rax
  movl $0x7, %esi
  call    *%rax
  movq %rbp, %rsp
  popq %rbp
  retq
block1:
  testl %edx, %edx
  jnz     label3; j label2
block2:
  movslq (%rax, %rcx, 4), %rcx
  leaq (%rax, %rcx), %rax
  call    *%rax
  ud2
block3:
  call    User(userextname1)
  ud2

; wasm-function[3]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  load_ext_name userextname0+0, %rax
  movl %esi, %edx
  movl $0x1388, %ecx
  cmpq $0x1388, %rdx
  cmovbq %rdx, %rcx
  movzwq 0x4e24(%rax, %rcx, 2), %rdx
  cmpl $0x1, %edx
  jz      label4; j label1
block4:
  movslq (%rax, %rcx, 4), %rcx
  leaq (%rax, %rcx), %r10
  movl $0x7, %esi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi
block1:
  testl %edx, %edx
  jnz     label3; j label2
block2:
  movslq (%rax, %rcx, 4), %rcx
  leaq (%rax, %rcx), %rax
  call    *%rax
  ud2
block3:
  call    User(userextname1)
  ud2

; precast.trap[undefined element]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x10(%rdi), %r8
  movl $0x4, %esi
  call    *%r8
  ud2

; precast.trap[uninitialized element]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x10(%rdi), %r8
  movl $0x5, %esi
  call    *%r8
  ud2

