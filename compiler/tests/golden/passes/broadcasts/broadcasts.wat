;; The second load stands between the first and its use.
(module
  (memory 1)
  (func (param i32) (result v128)
    (f32x4.mul (v128.load32_splat (local.get 0)) (v128.load offset=16 (local.get 0))))
  (func (param i32) (result v128)
    (i64x2.sub (v128.load64_splat (local.get 0)) (v128.load offset=16 (local.get 0))))
  (func (param i32) (result v128)
    (i8x16.add (v128.load8_splat (local.get 0)) (v128.load offset=16 (local.get 0)))))
