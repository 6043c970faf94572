;; Vectors.
;; sum 3 = 22
;; swizzle = 4
(module
  (func (export "sum") (param i32) (result i32) (local v128)
    (local.set 1 (i32x4.add (i32x4.splat (local.get 0)) (v128.const i32x4 1 2 3 4)))
    (i32.add (i32.add (i32x4.extract_lane 0 (local.get 1)) (i32x4.extract_lane 1 (local.get 1)))
             (i32.add (i32x4.extract_lane 2 (local.get 1)) (i32x4.extract_lane 3 (local.get 1)))))
  (func (export "swizzle") (result i32)
    (i8x16.extract_lane_u 0 (i8x16.swizzle
      (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
      (v128.const i8x16 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0)))))
