# if, case, loops, functions, return, break, shift, getopts.
for x in apple banana 42 '' -n; do
	case $x in
	a*) echo "a-word $x" ;;
	[0-9]*) echo "number $x" ;;
	'') echo empty ;;
	b* | c*) echo "b or c" ;;
	*) echo "other $x" ;;
	esac
done
i=0
while :; do i=$((i + 1)); [ $i -eq 3 ] && continue; [ $i -gt 5 ] && break; echo $i; done
until [ $i -eq 0 ]; do i=$((i - 1)); done; echo "until $i"
for a in 1 2 3; do for b in 1 2 3; do [ $b -eq 2 ] && continue 2; [ $a -eq 3 ] && break 2; echo $a$b; done; done
f() { local x=local; echo "$x $# $1"; return 4; }
x=global; f arg; echo "$? $x"
rec() { [ $1 -eq 0 ] && return; echo $1; rec $(($1 - 1)); echo -$1; }
rec 4
set -- -a -b value -c rest
while getopts ab:c opt; do echo "opt $opt ${OPTARG-}"; done; shift $((OPTIND - 1)); echo "rest $*"
if false; then echo no; elif true; then echo elif; else echo no; fi
if ! (exit 2); then echo "not $?"; fi
while read a b; do echo "$b:$a"; done <<END
1 one
2 two three
END
command -v cd; type f | head -n 1; unset -f f; f 2>/dev/null; echo "unset $?"
{ echo grouped; exit 3; } | cat
readonly r=1; (r=2) 2>/dev/null; echo "readonly $?"
set -u; (echo $nothing) 2>/dev/null; echo "nounset $?"; set +u
(set -e; false; echo not reached); echo "errexit $?"
(set -e; false || true; if false; then :; fi; echo reached; false | true; echo too); echo $?
(set -e; f() { false; echo "in f"; }; f || echo "f failed"; f; echo no); echo $?
set -- 1 2 3 4; shift 2; echo "$*"; shift 5 2>/dev/null; echo "shift $?"
[ -n "$(set -x; : traced 2>&1)" ] || echo "traced elsewhere"
. /dev/null; echo "sourced $?"
echo 'echo "from file $1"; return 6; echo no' > src.$$; . ./src.$$ arg; echo $?; rm src.$$
exec 3> out.$$; echo three >&3; exec 3>&-; cat out.$$; rm out.$$
alias hi='echo aliased'; alias hi
