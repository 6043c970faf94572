(module $hello
  (import "host" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from the guest")
  (func (export "greet") (param $times i32) (result i32)
    (local $said i32)
    (loop $again
      (if (i32.lt_s (local.get $said) (local.get $times))
        (then
          (call $log (i32.const 16) (i32.const 20))
          (local.set $said (i32.add (local.get $said) (i32.const 1)))
          (br $again))))
    (local.get $said)))
