package sqldump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/treetest"
)

func split(r io.Reader) (sqldump.Summary, map[string]treetest.Entry, error) {
	tree := treetest.NewMemory()
	sum, err := sqldump.Split(context.Background(), r, tree, sqldump.Options{})
	if n := tree.Open(); n != 0 {
		err = errors.Join(err, fmt.Errorf("%d files were left open", n))
	}
	return sum, tree.Entries(), err
}

// mustSplit also checks that the parts make the dump again.
func mustSplit(t *testing.T, dump []byte) (sqldump.Summary, map[string]treetest.Entry) {
	t.Helper()
	sum, entries, err := split(bytes.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	if joined := join(sum, entries); !bytes.Equal(joined, dump) {
		t.Fatalf("the parts make %d bytes that differ from the dump's %d", len(joined), len(dump))
	}
	return sum, entries
}

func join(sum sqldump.Summary, entries map[string]treetest.Entry) []byte {
	var b bytes.Buffer
	for _, path := range sum.Order {
		b.Write(entries[path].Data)
	}
	return b.Bytes()
}

const (
	head = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB\n--\n-- Host: localhost    Database: \n" +
		"-- Server version\t10.11.19-MariaDB-log\n\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n" +
		"\n-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000007', MASTER_LOG_POS=385;\n\n"
	foot = "-- The deferred gtid setting for slave corresponding to the master-data CHANGE-MASTER follows\n-- SET GLOBAL gtid_slave_pos='0-1-24,1-1-9';\n\n" +
		"/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\n-- Dump completed on 2026-11-22  9:57:09\n"
)

func block(text string) string { return "--\n-- " + text + "\n--\n\n" }

func database(name string) string {
	q := "`" + strings.ReplaceAll(name, "`", "``") + "`"
	return block("Current Database: "+q) + "CREATE DATABASE /*!32312 IF NOT EXISTS*/ " + q + ";\n\nUSE " + q + ";\n\n"
}

func table(name, rows string) string {
	q := "`" + strings.ReplaceAll(name, "`", "``") + "`"
	s := block("Table structure for table "+q) + "DROP TABLE IF EXISTS " + q + ";\nCREATE TABLE " + q + " (\n  `i` int\n);\n\n"
	s += block("Dumping data for table "+q) + "LOCK TABLES " + q + " WRITE;\n"
	if rows != "" {
		s += "INSERT INTO " + q + " VALUES\n" + rows + ";\n"
	}
	return s + "UNLOCK TABLES;\n\n"
}
