; wasm-function[0]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0xc8(%rdi), %r11
  movq 8(%r11), %r9
  movl %esi, %eax
  subq $0x4, %r9
  uninit  %rcx
  xorq %rcx, %rcx
  movq %rax, %r10
  addq (%r11), %r10
  cmpq %r9, %rax
  cmovaq %rcx, %r10
  movl (%r10), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[1]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x88(%rdi), %r10
  movl %esi, %esi
  leaq 0xc(%rsi), %rax
  uninit  %r11
  xorq %r11, %r11
  addq -0x90(%rdi), %rsi
  cmpq %r10, %rax
  cmovaq %r11, %rsi
  movl 8(%rsi), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x98(%rdi), %r8
  subq $0xc, %r8
  uninit  %r9
  xorq %r9, %r9
  movq %rsi, %r10
  addq -0xa0(%rdi), %r10
  cmpq %r8, %rsi
  cmovaq %r9, %r10
  movl 8(%r10), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[3]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  leaq -0xfc(%rsi), %rax
  cmpq -0x98(%rdi), %rax
  seta %r11b
  cmpq %rsi, %rax
  setb %al
  orl %eax, %r11d
  uninit  %rax
  xorq %rax, %rax
  movq -0xa0(%rdi), %rcx
  leaq -0x100(%rcx, %rsi), %rcx
  testb %r11b, %r11b
  cmovneq %rax, %rcx
  movl (%rcx), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[4]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  uninit  %rdx
  xorq %rdx, %rdx
  movl (%rdx), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[5]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl %esi, %r9d
  uninit  %r8
  xorq %r8, %r8
  movq %r9, %r10
  addq -0xb0(%rdi), %r10
  cmpq $0x1fffc, %r9
  cmovaq %r8, %r10
  movl (%r10), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[6]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  leaq 4(%rsi), %r11
  cmpq -0xb8(%rdi), %r11
  seta %r10b
  cmpq %rsi, %r11
  setb %al
  orl %eax, %r10d
  uninit  %rax
  xorq %rax, %rax
  addq -0xc0(%rdi), %rsi
  testb %r10b, %r10b
  cmovneq %rax, %rsi
  movl (%rsi), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[7]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rsi, %r11
  movq -0x18(%rdi), %r8
  movq (%r8), %r8
  movl $0x1, %esi
  movl %r11d, %edx
  call    *%r8
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[8] "grow"
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rsi, %rdx
  movq -0x18(%rdi), %r8
  movq (%r8), %r8
  movl $0x2, %esi
  call    *%r8
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[9]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq %rsi, %rdx
  movq -0x18(%rdi), %r8
  movq (%r8), %r8
  movl $0x4, %esi
  call    *%r8
  movq %rbp, %rsp
  popq %rbp
  retq

; precast.enter[2]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 16 }
  subq $0x10, %rsp
  movq %r12, (%rsp)
  unwind SaveReg { clobber_offset: 0, reg: p12i }
block0:
  movq %rsi, %r9
  movq (%rdx), %rsi
  movq %rdx, %r12
  call    *%r9
  movq %r12, %rdx
  movq %rax, (%rdx)
  movq (%rsp), %r12
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

