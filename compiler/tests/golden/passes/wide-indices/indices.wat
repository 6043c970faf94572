(module
  (memory 1)
  ;; Through a list: from a parameter, then from loads.
  (func $list (param $p i32) (result i32) (local $n i32)
    (loop $top
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $top (local.tee $p (i32.load (local.get $p)))))
    (local.get $n))
  ;; Over an array, whose index is compared, too.
  (func $array (param $p i32) (param $end i32) (result i32) (local $sum i32)
    (loop $top
      (local.set $sum (i32.xor (local.get $sum) (i32.load8_u (local.get $p))))
      (br_if $top
        (i32.ne (local.tee $p (i32.add (local.get $p) (i32.const 1))) (local.get $end))))
    (local.get $sum))
  ;; Two at once, exchanged.
  (func $exchange (param $p i32) (param $q i32) (local $t i32)
    (loop $top
      (local.set $t (i32.load (local.get $p)))
      (i32.store (local.get $q) (local.get $t))
      (local.set $t (local.get $p))
      (local.set $p (local.get $q))
      (local.set $q (local.get $t))
      (br_if $top (i32.load8_u offset=8 (local.get $p)))))
  ;; What a call answers would have to be extended in the loop.
  (func $from_call (param $p i32)
    (loop $top
      (i32.store (local.get $p) (i32.const 0))
      (br_if $top (local.tee $p (call $list (local.get $p))))))
  ;; With a sign, and without one that would be seen.
  (func $signed (param $p i32) (result i64)
    (i64.add
      (i64.extend_i32_s (i32.load (local.get $p)))
      (i64.extend_i32_s (i32.load8_u (local.get $p))))))
