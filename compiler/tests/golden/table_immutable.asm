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
  load_ext_name userextname0+0, %r10
  movl %esi, %r11d
  movl $0x4, %r9d
  cmpq $0x4, %r11
  cmovbq %r11, %r9
  movslq (%r10, %r9, 4), %r11
  leaq (%r10, %r11), %r11
  movl $0x7, %esi
  call    *%r11
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[3]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  load_ext_name userextname0+0, %r10
  movl %esi, %r11d
  movl $0x4, %r9d
  cmpq $0x4, %r11
  cmovbq %r11, %r9
  movslq (%r10, %r9, 4), %r11
  leaq (%r10, %r11), %r10
  movl $0x7, %esi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi

; wasm-function[4]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  load_ext_name userextname0+0, %r8
  movl %esi, %r9d
  movl $0x4, %r10d
  cmpq $0x4, %r9
  cmovbq %r9, %r10
  movslq (%r8, %r10, 4), %r9
  leaq (%r8, %r9), %r9
  call    *%r9
  movq %rbp, %rsp
  popq %rbp
  retq

; wasm-function[5]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movl $0x4, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

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

; precast.trap[indirect call type mismatch]
  pushq %rbp
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  movq %rsp, %rbp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  movq -0x10(%rdi), %r8
  movl $0x6, %esi
  call    *%r8
  ud2

