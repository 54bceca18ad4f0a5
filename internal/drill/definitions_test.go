package drill

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/stream"
)

const table = "--\n-- Table structure for table `t`\n--\n\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `v` text\n" +
	") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4\n PARTITION BY RANGE (`id`)\n(PARTITION `p1` VALUES LESS THAN (9) ENGINE = InnoDB);\n" +
	"LOCK TABLES `t` WRITE;\nset autocommit=0;\nINSERT INTO `t` VALUES\n(1,'a;'),\n(2,'CREATE');\nUNLOCK TABLES;\ncommit;\n/*!50003 CREATE TRIGGER x */;;\n"

// TestDefinitions holds what is defined against what it may and may not differ in.
func TestDefinitions(t *testing.T) {
	digests := func(text string) string {
		files := fstest.MapFS{"db/t.sql": {Data: []byte(text)}, "header.sql": {Data: []byte("-- now")}}
		d, err := definitionsOf(files, []string{"header.sql", "db/t.sql"})
		if err != nil || len(d) != 1 {
			t.Fatalf("%v, %v", d, err)
		}
		sum := d["db/t.sql"]
		return string(sum[:])
	}
	want := digests(table)
	for what, same := range map[string]string{
		"counter":     strings.Replace(table, "AUTO_INCREMENT=7", "AUTO_INCREMENT=9", 1),
		"no counter":  strings.Replace(table, " AUTO_INCREMENT=7", "", 1),
		"other rows":  strings.Replace(table, "(1,'a;'),\n", "(3,'c'),\n(4,'d'),\n", 1),
		"long row":    strings.Replace(table, "a;", strings.Repeat("long; ", 1<<19), 1),
		"no rows":     strings.Replace(table, "INSERT INTO `t` VALUES\n(1,'a;'),\n(2,'CREATE');\n", "", 1),
		"empty lines": table + "\n\n",
	} {
		if digests(same) != want {
			t.Errorf("%s makes a difference", what)
		}
	}
	for what, other := range map[string]string{
		"type":      strings.Replace(table, "text", "blob", 1),
		"partition": strings.Replace(table, "(9)", "(10)", 1),
		"trigger":   strings.Replace(table, "TRIGGER x", "TRIGGER y", 1),
		"cut":       table[:len(table)-30],
	} {
		if digests(other) == want {
			t.Errorf("%s makes no difference", what)
		}
	}
}

// TestDefinitionsOfStream writes a file in pieces of every size.
func TestDefinitionsOfStream(t *testing.T) {
	want, err := definitionsOf(fstest.MapFS{"db/t.sql": {Data: []byte(table)}}, []string{"db/t.sql"})
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size < len(table); size += 7 {
		tree := newDefinitions()
		f, err := tree.Create("db/t.sql", stream.Meta{}, stream.Plain)
		if err != nil {
			t.Fatal(err)
		}
		for piece := range slices.Chunk([]byte(table), size) {
			if _, err := f.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil || !maps.Equal(tree.found(), want) {
			t.Errorf("in pieces of %d it is another: %v", size, err)
		}
	}
}
