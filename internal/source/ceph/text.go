package ceph

import (
	"regexp"
	"strings"
)

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=-]+$`)

// scriptHead begins the scripts that take something back.
const scriptHead = "# Run this in the directory that contents.json is in, as the cluster's administrator.\nset -e\n"
