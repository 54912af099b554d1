# Here-documents in every form.
name=world
cat <<END
hello $name $((1 + 2)) $(echo sub) \$name `echo tick`
	tab kept
END
cat <<'END'
hello $name $((1 + 2)) $(echo sub)
END
cat <<-END
	indented $name
		twice
	END
cat <<A; cat <<B
first
A
second
B
while read line; do echo "[$line]"; done <<END
one
two  three
  four
END
f() { cat <<END; }
in a function: $1
END
f argument
cat <<END | tr a-z A-Z
piped
END
x=$(cat <<END
substituted
END
)
echo "$x"
cat <<END > file.$$
$(seq 3)
END
cat file.$$; rm file.$$
read a b <<END
1 2 3
END
echo "$a/$b"
cat 3<<THREE <&3
by descriptor three
THREE
big=$(seq 20000)
cat <<END | md5sum
$big
END
