# A mark in a data directory that Holdfast made, or has copied, says that nothing in it is of worth as long as no server
# works there. It holds the path of the directory that stood in its place before.
mark=.holdfast-replaces
untouched() { # DIR has the mark, and nothing in it is newer
	[ -f "$1/$mark" ] && [ -z "$(find "$1" -newer "$1/$mark" -print -quit)" ]
}
spare() { # DIR is untouched, and what it replaces is kept
	untouched "$1" && [ -d "$(cat "$1/$mark")" ]
}
