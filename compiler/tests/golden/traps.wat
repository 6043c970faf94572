;; Explicit traps leave by a cold call, one per site.
(module
  (func (param i32) (if (local.get 0) (then (unreachable))) (unreachable))
  (func (param externref) (drop (ref.as_non_null (local.get 0))))
  (func (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (param f32) (result i32) (i32.trunc_f32_s (local.get 0))))
