(module
  (func $by_half (param v128) (result v128)
    (v128.or
      (i32x4.shl (local.get 0) (i32.const 16))
      (i32x4.shr_u (local.get 0) (i32.const 16))))
  (func $by_a_byte (param v128) (result v128)
    (v128.or
      (i64x2.shr_u (local.get 0) (i32.const 120))
      (i64x2.shl (local.get 0) (i32.const 8))))
  (func $by_bits (param v128) (result v128)
    (v128.or
      (i32x4.shl (local.get 0) (i32.const 12))
      (i32x4.shr_u (local.get 0) (i32.const 20))))
  (func $with_a_sign (param v128) (result v128)
    (v128.or
      (i32x4.shl (local.get 0) (i32.const 8))
      (i32x4.shr_s (local.get 0) (i32.const 24))))
  (func $of_two (param v128 v128) (result v128)
    (v128.or
      (i32x4.shl (local.get 0) (i32.const 8))
      (i32x4.shr_u (local.get 1) (i32.const 24)))))
