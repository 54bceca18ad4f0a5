# Prints, each ended by NUL, the paths that exist of the globs "$@", and what those that are links lead to.
IFS=
for glob do
	for path in $glob; do
		[ -e "$path" ] || [ -L "$path" ] || continue
		printf '%s\0' "$path"
		[ ! -L "$path" ] || readlink -z -f -- "$path" || :
	done
done
