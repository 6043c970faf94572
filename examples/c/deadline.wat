(module $spin
  (func $forever (export "spin")
    (loop $again (br $again))))
