package kolla

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// ovsdb writes records as ovsdb-client backup does.
func ovsdb(records ...string) []byte {
	var b bytes.Buffer
	for _, r := range records {
		r += "\n"
		fmt.Fprintf(&b, "OVSDB JSON %d %x\n%s", len(r), sha1.Sum([]byte(r)), r)
	}
	return b.Bytes()
}

// etcd writes a snapshot as etcd does: pages, then their hash.
func etcd(pages int) []byte {
	data := bytes.Repeat([]byte("etcdpage"), 512/8*pages)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func TestExportsAreWholeOnlyToTheLastByte(t *testing.T) {
	for _, tc := range []struct {
		name  string
		whole func(io.Reader) error
		data  []byte
		slack int // how many bytes at the end carry nothing
	}{
		{"ovsdb", ovsdbWhole, ovsdb(`{"name":"OVN_Northbound"}`, `{"_date":1,"Logical_Switch":{}}`), 0},
		{"etcd", etcdWhole, etcd(9), 0},
		{"json", jsonWhole, []byte(`{"users":[{"name":"openstack"}],"vhosts":[]}`), 0},
		{"dump", dumpWhole, []byte("CREATE TABLE a;\n\n-- Dump completed on 2026-11-22 10:00:00\n"), 24},
	} {
		if err := tc.whole(iotest.OneByteReader(bytes.NewReader(tc.data))); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		for n := range len(tc.data) - tc.slack {
			if tc.whole(bytes.NewReader(tc.data[:n])) == nil {
				t.Fatalf("%s: the first %d of %d bytes count as whole", tc.name, n, len(tc.data))
			}
		}
	}
}

func TestExportsAreNotWholeWhenDamagedOrFollowed(t *testing.T) {
	nb := ovsdb(`{"name":"OVN_Northbound"}`, `{"_date":1}`)
	flipped := bytes.Replace(nb, []byte("_date"), []byte("_dbte"), 1)
	snapshot := etcd(3)
	snapshot[7] ^= 1
	for name, err := range map[string]error{
		"ovsdb flipped":  ovsdbWhole(bytes.NewReader(flipped)),
		"ovsdb followed": ovsdbWhole(bytes.NewReader(append(nb, "x"...))),
		"etcd flipped":   etcdWhole(bytes.NewReader(snapshot)),
		"json followed":  jsonWhole(strings.NewReader(`{} {}`)),
		"json no object": jsonWhole(strings.NewReader(`"Error: unable to perform an operation"`)),
		"dump followed":  dumpWhole(strings.NewReader("-- Dump completed\nERROR 2013\n")),
	} {
		if err == nil {
			t.Errorf("%s counts as whole", name)
		}
	}
}
