; wasm-function[0]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  slli a1,a1,32
  srli a1,a1,32
  add a0,a0,a1
  lw a0,0(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[1]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  slli a1,a1,32
  srli a1,a1,32
  add a0,a0,a1
  ld a0,1000(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[2]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  slli a1,a1,32
  srli a1,a1,32
  add a0,a0,a1
  sb a2,33554431(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[3]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ld a4,-32(a0)
  slli a1,a1,32
  srli a3,a1,32
  lui a1,8192
  addi a1,a1,1
  add a1,a3,a1
  sltu a1,a4,a1
  add a0,a0,a3
  lui a3,8192
  addi a3,a3,-1
  add a0,a0,a3
  sub a5,zero,a1
  not a1,a5
  and a0,a0,a1
  sh a2,0(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[4]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ld a5,-32(a0)
  slli a4,a1,32
  srli a1,a4,32
  ld a2,[const(1)]
  add a2,a1,a2
  sltu a5,a5,a2
  add a0,a0,a1
  ld a1,[const(0)]
  add a0,a0,a1
  sub a3,zero,a5
  not a5,a3
  and a0,a0,a5
  flw fa5,0(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[5]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ld a0,-32(a0)
  srli a0,a0,16
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[6]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  mv a2,a1
  ld a1,-24(a0)
  ld a3,0(a1)
  li a1,0
  slli a2,a2,32
  srli a2,a2,32
  callind a3
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

