; wasm-function[1] "pair"
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  mv a0,a2
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
  call userextname0
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
  ld a2,-144(a0)
  ld a0,-136(a0)
  slli a1,a1,32; srai a1,a1,32
  callind a2
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
  ld t0,-144(a0)
  ld a0,-136(a0)
  slli a1,a1,32; srai a1,a1,32
  return_call_ind t0 new_stack_arg_size:0 a0=a0 a1=a1

; wasm-function[5] "even"
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  sext.w a2,a1
  beq a2,zero,taken(label2),not_taken(label1)
block1:
  addiw a1,a1,-2
  return_call User(userextname0) new_stack_arg_size:0 a0=a0 a1=a1
block2:
  j label3
block3:
  li a0,1
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
  beq a2,zero,taken(label5),not_taken(label1)
block1:
  ld a3,0(a2)
  ld a2,8(a2)
  beq a2,a0,taken(label3),not_taken(label2)
block3:
  slli a1,a1,32; srai a1,a1,32
  callind a3
  j label4
block4:
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret
block2:
  slli a1,a1,32; srai a1,a1,32
  mv a0,a2
  callind a3
  j label4
block5:
  call userextname0
  udf##trap_code=user11

; wasm-function[7]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  beq a2,zero,taken(label4),not_taken(label1)
block1:
  ld t0,0(a2)
  ld a2,8(a2)
  beq a2,a0,taken(label3),not_taken(label2)
block3:
  slli a1,a1,32; srai a1,a1,32
  return_call_ind t0 new_stack_arg_size:0 a0=a0 a1=a1
block2:
  slli a1,a1,32; srai a1,a1,32
  mv a0,a2
  return_call_ind t0 new_stack_arg_size:0 a0=a0 a1=a1
block4:
  call userextname0
  udf##trap_code=user11

; wasm-function[8]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  ld a0,-168(a0)
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; wasm-function[9]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
block0:
  addi a0,a0,-224
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; precast.enter[0]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 16 }
  addi sp,sp,-16
  sd s1,8(sp)
  unwind SaveReg { clobber_offset: 8, reg: p9i }
block0:
  mv a4,a1
  lw a3,0(a2)
  mv s1,a2
  slli a1,a3,32; srai a1,a1,32
  mv a2,a4
  callind a2
  mv a2,s1
  sw a0,0(a2)
  ld s1,8(sp)
  addi sp,sp,16
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

; precast.host[1]
  addi sp,sp,-16
  sd ra,8(sp)
  sd fp,0(sp)
  unwind PushFrameRegs { offset_upward_to_caller_sp: 16 }
  mv fp,sp
  unwind DefineNewFrame { offset_upward_to_caller_sp: 16, offset_downward_to_clobbers: 0 }
  addi sp,sp,-32
block0:
  load_addr a3,0(slot)
  sw a1,0(slot)
  sd a2,16(slot)
  ld a2,0(a0)
  mv a1,a3
  callind a2
  ld a0,0(slot)
  lw a1,16(slot)
  addi sp,sp,32
  ld ra,8(sp)
  ld fp,0(sp)
  addi sp,sp,16
  ret

