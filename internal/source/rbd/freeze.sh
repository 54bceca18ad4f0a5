# Keeps a libvirt domain frozen for as long as stdin lasts: sh -c THIS guard DOMAIN SECONDS VIRSH...
# Runs in a session of its own, and whoever is killed or cut off before it only ends its stdin: what was frozen is thawed
# then, at the latest after SECONDS. Says on stdout, a line each:
#   frozen | refused WHY | late       whether the domain stands still; late: not in time
#   held | late                       when stdin ended while it still stood still, or SECONDS passed before
#   thawed | lost                     at the end; lost: no thaw has succeeded
domain=$1 limit=$2
shift 2
trap '' HUP PIPE
timeout -k 1 "$limit" sh -c '
	domain=$1
	shift
	said=$("$@" domfsfreeze "$domain" 2>&1 </dev/null) || {
		echo "refused $(printf %s "$said" | tr "\n" " ")"
		exit 3
	}
	echo frozen
	cat >/dev/null
	echo held
' hold "$domain" "$@"
code=$?
case $code in
0) ;;
# One that could not be frozen is thawed all the same, in case that half of it was: also by a libvirtd that is being restarted, which
# is asked seldom, as most of these servers have no agent at all.
3) tries=12 seldom=1 ;;
*) echo late ;;
esac
until timeout -k 1 30 "$@" domfsthaw "$domain" </dev/null >&2; do
	tries=$((${tries:-600} - 1))
	[ "$tries" -gt 0 ] || {
		echo lost
		exit 1
	}
	[ -n "${seldom-}" ] && [ "$tries" -lt 10 ] && sleep 10 || sleep 1
done
echo thawed
exit "$code"
