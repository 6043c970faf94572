;; The default: no check at all, up to offsets that the guard does not cover.
(module
  (memory 1 10)
  (func (param i32) (result i32) (i32.load (local.get 0)))
  (func (param i32) (result i64) (i64.load offset=1000 (local.get 0)))
  (func (param i32 i32) (i32.store8 offset=33554431 (local.get 0) (local.get 1)))
  (func (param i32 i32) (i32.store16 offset=33554431 (local.get 0) (local.get 1)))
  (func (param i32) (drop (f32.load offset=4294967295 (local.get 0))))
  (func (result i32) (memory.size))
  (func (param i32) (result i32) (memory.grow (local.get 0))))
