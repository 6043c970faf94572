;; Functions of the host: in registers, and by an array of cells.
;; double 21 = 42
;; many 1 = 28
(module
  (import "host" "double" (func $double (param i32) (result i32)))
  (import "host" "many" (func $many (param i64 f64 i32 i64 i64 i64 i64) (result i64)))
  (func (export "double") (param i32) (result i32) (call $double (local.get 0)))
  (func (export "many") (param i64) (result i64)
    (call $many (local.get 0) (f64.const 2) (i32.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7))))
