;; No one can change the table: a call loads one code offset, and nothing of the instance.
;; Types that mean the same share an array.
(module
  (type $unary (func (param i32) (result i32)))
  (type $same (func (param i32) (result i32)))
  (type $other (func))
  (table 4 funcref)
  (elem (i32.const 1) $f $g)
  (func $f (type $unary) (local.get 0))
  (func $g (type $other))
  (func (param i32) (result i32)
    (call_indirect (type $unary) (i32.const 7) (local.get 0)))
  (func (param i32) (result i32)
    (return_call_indirect (type $same) (i32.const 7) (local.get 0)))
  (func (param i32)
    (call_indirect (type $other) (local.get 0)))
  (func (result i32) (table.size)))
