# Arithmetic.
echo $((1 + 2 * 3)) $(((1 + 2) * 3)) $((7 / 2)) $((-7 / 2)) $((7 % 3)) $((-7 % 3))
echo $((2 ** 16)) $((1 << 40)) $((0x1f)) $((017)) $((~5)) $((!3)) $((5 & 3 | 8 ^ 1))
i=5; echo $((i++)) $i $((++i)) $i $((i += 10)) $i $((i--)) $((i -= 1))
echo $((3 > 2 ? 10 : 20)) $((1 && 0)) $((1 || 0)) $((2 == 2)) $((2 != 2))
echo $((9223372036854775807 + 1)) $((-9223372036854775808))
n=10; a=0 b=1; while [ $n -gt 0 ]; do c=$((a + b)); a=$b; b=$c; n=$((n - 1)); done; echo $a
let 'x = 3 * 4'; echo $x
expr 3 + 4; expr 10 / 3; expr length hello; expr hello : 'he\(.*\)'
[ 10 -gt 9 ] && [ abc \< abd ] && echo compared
(echo $((1 / 0))) 2>&1 | sed 's/.*: line [0-9]*: //'
sum=0; for i in $(seq 1000); do sum=$((sum + i * i)); done; echo $sum
printf '%d %5d|%-5d|%05d %x %o\n' 42 42 42 42 255 8
test 010 -eq 10 && echo decimal
gcd() { [ $2 -eq 0 ] && echo $1 || gcd $2 $(($1 % $2)); }
gcd 1071 462
fact() { [ $1 -le 1 ] && echo 1 || echo $(($1 * $(fact $(($1 - 1))))); }
fact 15
awk 'BEGIN { printf "%d %g\n", 2 * 31, 1e100; print 1 / 3, int(-3.7), 17 % 5 }'
echo '2 ^ 100; scale = 20; 1 / 7' | bc
dc -e '5 3 * p 2 10 ^ p'
