;; The table is exported: anyone may change it. The own base is passed where the entry is ours.
(module
  (type $unary (func (param i32) (result i32)))
  (table (export "t") 4 funcref)
  (elem (i32.const 1) $f)
  (func $f (type $unary) (local.get 0))
  (func (param i32) (result i32)
    (call_indirect (type $unary) (i32.const 7) (local.get 0)))
  (func (param i32) (result i32)
    (return_call_indirect (type $unary) (i32.const 7) (local.get 0))))
