# Puts a new data directory in the place of a server's, which is kept aside. The new one is complete before anything
# moves and every move is one rename, so that it may be cut off anywhere and run again. It stands behind mark.sh.
# usage: sh -euc SCRIPT holdfast DATADIR POINT KEEP ASIDE NEW OWNER MODE LABEL
# KEEP is 1 if the datadir goes to ASIDE; else ASIDE is where an earlier run has put it. NEW is a staged copy, or empty
# for an empty directory that other nodes will fill.
datadir=$1 point=$2 keep=$3 aside=$4 new=$5 owner=$6 mode=$7 label=$8
gone=$datadir.holdfast-gone-$point
rm -rf "$gone"

if [ -n "$new" ]; then
	printf %s "$aside" >"$new/$mark"
else
	new=$datadir.holdfast-empty-$point
	[ ! -d "$new" ] || rmdir "$new"
	mkdir -m 700 "$new"
	chown "$owner" "$new"
	chmod "$mode" "$new"
	[ -z "$label" ] || chcon "$label" "$new"
fi

renames() { # whether what is beside the datadir can be renamed to something beside ASIDE
	rm -f "$gone.probe" "$aside.probe"
	: >"$gone.probe"
	ln "$gone.probe" "$aside.probe" 2>/dev/null && can=0 || can=1
	rm -f "$gone.probe" "$aside.probe"
	return "$can"
}

if [ "$keep" = 1 ]; then
	[ ! -e "$aside" ] || { echo "$aside exists already" >&2; exit 1; }
	mkdir -p "$(dirname "$aside")"
	rm -rf "$aside.part" "$datadir/$mark"
	if renames; then
		mv -T "$datadir" "$aside"
	else
		cp -aT "$datadir" "$aside.part"
		sync -f "$aside.part"
		printf %s "$aside" >"$datadir/$mark" # counts as soon as ASIDE is there
		mv -T "$aside.part" "$aside"
		sync -f "$aside"
		mv -T "$datadir" "$gone"
	fi
elif spare "$datadir"; then
	mv -T "$datadir" "$gone"
fi
mv -T "$new" "$datadir" # takes the place of an empty directory, and of no other
sync -f "$datadir"
rm -rf "$gone"
