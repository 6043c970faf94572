; wasm-function[0]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldr w2, [x2, w3, UXTW]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[1]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  add x4, x2, x3, UXTW
  ldr x2, [x4, #1000]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[2]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  orr x5, xzr, #33554431
  add x6, x2, x5
  strb w4, [x6, w3, UXTW]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[3]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x12, [x2, #-32]
  movz w13, #1
  movk w13, w13, #512, LSL #16
  add x13, x13, x3, UXTW
  movz x14, #0
  add x15, x2, x3, UXTW
  orr x0, xzr, #33554431
  add x15, x15, x0
  subs xzr, x13, x12
  csel x13, x14, x15, hi
  strh w4, [x13]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[4]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x12, [x2, #-32]
  movz x13, #3
  movk x13, x13, #1, LSL #32
  add x13, x13, x3, UXTW
  movz x14, #0
  add x15, x2, x3, UXTW
  orr x0, xzr, #4294967295
  add x15, x15, x0
  subs xzr, x13, x12
  csel x13, x14, x15, hi
  ldr s16, [x13]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[5]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x3, [x2, #-32]
  lsr x2, x3, #16
  ldp fp, lr, [sp], #16
  ret

; wasm-function[6]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x7, [x2, #-24]
  mov x0, x2
  ldr x7, [x7]
  movz x1, #0
  mov w2, w3
  blr x7
  mov x2, x0
  ldp fp, lr, [sp], #16
  ret

