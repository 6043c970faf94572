; wasm-function[1] "pair"
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  mov x2, x4
  ldp fp, lr, [sp], #16
  ret

; wasm-function[2]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  bl 0
  ldp fp, lr, [sp], #16
  ret

; wasm-function[3]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x5, [x2, #-144]
  ldur x2, [x2, #-136]
  blr x5
  ldp fp, lr, [sp], #16
  ret

; wasm-function[4]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x1, [x2, #-144]
  ldur x2, [x2, #-136]
  return_call_ind x1 new_stack_arg_size:0 x2=x2 x3=x3

; wasm-function[5] "even"
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  cbz w3, label2 ; b label1
block1:
  sub w3, w3, #2
  return_call User(userextname0) new_stack_arg_size:0 x2=x2 x3=x3
block2:
  b label3
block3:
  movz w2, #1
  ldp fp, lr, [sp], #16
  ret

; wasm-function[6]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  cbz x4, label5 ; b label1
block1:
  ldr x9, [x4]
  ldr x10, [x4, #8]
  subs xzr, x10, x2
  b.eq label3 ; b label2
block3:
  blr x9
  b label4
block4:
  ldp fp, lr, [sp], #16
  ret
block2:
  mov x2, x10
  blr x9
  b label4
block5:
  bl 0
  udf #0xc11f

; wasm-function[7]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  cbz x4, label4 ; b label1
block1:
  ldr x1, [x4]
  ldr x6, [x4, #8]
  subs xzr, x6, x2
  b.eq label3 ; b label2
block3:
  return_call_ind x1 new_stack_arg_size:0 x2=x2 x3=x3
block2:
  mov x2, x6
  return_call_ind x1 new_stack_arg_size:0 x2=x2 x3=x3
block4:
  bl 0
  udf #0xc11f

; wasm-function[8]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ldur x2, [x2, #-168]
  ldp fp, lr, [sp], #16
  ret

; wasm-function[9]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  sub x2, x2, #224
  ldp fp, lr, [sp], #16
  ret

; precast.enter[0]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 16 }
  str x19, [sp, #-16]!
  unwind SaveReg { clobber_offset: 0, reg: p19i }
block0:
  ldr w3, [x2]
  mov x19, x2
  mov x2, x0
  blr x1
  mov x9, x19
  str w2, [x9]
  ldr x19, [sp], #16
  ldp fp, lr, [sp], #16
  ret

; precast.host[1]
  bti c
  stp fp, lr, [sp, #-16]!
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mov fp, sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
  sub sp, sp, #32
  unwind StackAlloc { size: 32 }
block0:
  mov x1, sp
  str w3, [sp]
  str x4, [sp, #16]
  ldr x9, [x2]
  mov x0, x2
  blr x9
  ldr x2, [sp]
  ldr w3, [sp, #16]
  add sp, sp, #32
  ldp fp, lr, [sp], #16
  ret

