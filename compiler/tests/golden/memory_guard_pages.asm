; wasm-function[0]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %esi
  movl (%rdi, %rsi), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[1]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %esi
  movq 0x3e8(%rdi, %rsi), %rax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %esi
  movb %dl, 0x1ffffff(%rdi, %rsi)
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[3]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %r10d
  leaq 0x2000001(%r10), %r11
  uninit  %r9
  xorq %r9, %r9
  leaq 0x1ffffff(%rdi, %r10), %r8
  cmpq -0x20(%rdi), %r11
  cmovaq %r9, %r8
  movw %dx, (%r8)
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[4]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %edx
  movabsq $0x100000003, %rax
  leaq (%rdx, %rax), %rcx
  uninit  %rax
  xorq %rax, %rax
  leaq (%rdi, %rdx), %rdx
  movl $0xffffffff, %esi
  leaq (%rdx, %rsi), %r11
  cmpq -0x20(%rdi), %rcx
  cmovaq %rax, %r11
  vmovss (%r11), %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[5]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x20(%rdi), %rax
  shrq $0x10, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[6]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rsi, %rax
  movq -0x18(%rdi), %r8
  movq (%r8), %r8
  uninit  %rsi
  xorq %rsi, %rsi
  movl %eax, %edx
  call    *%r8
  movq %rbp, %rsp
  popq %rbp
  retq

