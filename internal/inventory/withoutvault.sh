# Runs ansible-inventory --list on a copy of the inventories "$@" made of symbolic links, without the variable files
# that ansible-vault encrypted. Each file left out is named on stderr. Nothing is decrypted and no content is copied.
set -u
view=$(mktemp -d) || exit 1
trap 'rm -rf "$view"' EXIT
trap 'exit 1' HUP INT TERM

# variables DIR VIEW: links the readable files of DIR/group_vars and DIR/host_vars.
variables() {
	for kind in group_vars host_vars; do
		[ -d "$1/$kind" ] || continue
		find -L "$1/$kind" -type f | while IFS= read -r file; do
			if [ "$(head -c 15 "$file" | tr -d '\0')" = '$ANSIBLE_VAULT;' ]; then
				echo "holdfast: encrypted: $file" >&2
				continue
			fi
			to=$2${file#"$1"}
			mkdir -p "${to%/*}" && ln -s "$file" "$to" || exit 1
		done
	done
}

count=0
for source do
	shift
	count=$((count + 1))
	at=$view/$count
	mkdir "$at" || exit 1
	if [ -d "$source" ]; then
		for entry in "$source"/*; do
			case ${entry##*/} in
			group_vars | host_vars) ;;
			*) ln -s "$entry" "$at/" ;;
			esac
		done
		variables "$source" "$at" || exit 1
		set -- "$@" -i "$at"
	elif [ -f "$source" ]; then
		ln -s "$source" "$at/"
		variables "${source%/*}" "$at" || exit 1
		set -- "$@" -i "$at/${source##*/}"
	else
		set -- "$@" -i "$source"
	fi
done
# Ansible also reads variables below the working directory, which is where the encrypted ones are.
[ ! -f ansible.cfg ] || export "ANSIBLE_CONFIG=${ANSIBLE_CONFIG:-$PWD/ansible.cfg}"
cd "$view" && ansible-inventory --list "$@"
