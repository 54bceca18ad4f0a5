# Runs a program of Python, the first argument, on the others, with the interpreter of the ceph command, which has Ceph's modules.
ceph=$(command -v ceph) || {
	echo 'ceph: not found' >&2
	exit 127
}
read -r first <"$ceph"
case $first in
'#!'*python*) interpreter=${first#'#!'} ;;
*) interpreter=python3 ;;
esac
exec $interpreter -c "$@"
