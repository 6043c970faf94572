;; The table is too large for an array per type: its types share one, and a call compares the
;; number of the type.
(module
  (type $unary (func (param i32) (result i32)))
  (type $other (func))
  (table 5000 funcref)
  (elem (i32.const 1) $f $g)
  (func $f (type $unary) (local.get 0))
  (func $g (type $other))
  (func (param i32) (result i32)
    (call_indirect (type $unary) (i32.const 7) (local.get 0)))
  (func (param i32) (result i32)
    (return_call_indirect (type $unary) (i32.const 7) (local.get 0))))
