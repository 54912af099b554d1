;; Exceptions that a function holds while it is interrupted by a fault, whose handler throws enough to
;; have the heap searched many times. Each is thrown again afterwards and must be what it was.
(module
 (prelude)
 (tag $e (param i32)) (tag $big (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64))
 (data (i32.const 65536) "all as they were\n")
 (func $throw (param $v i32) (throw $e (local.get $v)))
 (func $churn (local $i i32)
   (loop $l
     (block $b (try_table (catch_all $b)
       (throw $big (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1)
         (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1))))
     (local.set $i (i32.add (local.get $i) (i32.const 1)))
     (br_if $l (i32.lt_u (local.get $i) (i32.const 50000)))))
 (func (export "_signal") (result i32)
   (call $churn) (call $map (i32.const 0x30000000)) (call $sigreturn))
 (func $again (param $v i32) (param $w i32) (result i32) (local $a exnref) (local $b exnref)
   (local.set $a (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get $v))) (unreachable)))
   (local.set $b (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get $w))) (unreachable)))
   (drop (i32.load (i32.const 0x30000000)))
   (call $unmap (i32.const 0x30000000))
   (i32.sub
     (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get $a))) (unreachable))
     (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get $b))) (unreachable))))
 (func (export "_start") (param i32) (local $i i32)
   (call $handle (i32.const 11))
   (loop $l
     (if (i32.ne (call $again (i32.mul (local.get $i) (i32.const 7)) (local.get $i))
                 (i32.mul (local.get $i) (i32.const 6)))
       (then (call $exit (i32.const 1))))
     (local.set $i (i32.add (local.get $i) (i32.const 1)))
     (br_if $l (i32.lt_u (local.get $i) (i32.const 40))))
   (call $write (i32.const 65536) (i32.const 17))
   (call $exit (i32.const 0))))
