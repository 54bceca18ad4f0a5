package ceph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/cephcmd"
)

// item is a file that holds what the cluster answers to one question.
type item struct {
	file string
	ask  cephcmd.Question
	use  string
	back string // the command that takes it back; "" when it is only for reading
	form form
	need capability // what the client must be allowed to; none when all may ask
}

// form is how an answer is written.
type form int

const (
	inJSON form = iota
	text
	binary
)

// Files that others are made from, or that a restore compares.
const (
	osdFile     = "osd/dump.json"
	monFile     = "mon/dump.json"
	monmapFile  = "mon/monmap"
	osdmapFile  = "osd/osdmap"
	optionsFile = "config/options.json"
	versionFile = "cluster/versions.json"
	modulesFile = "mgr/modules.json"
	keysFile    = "config-key/keys.json"

	KeyringFile   = "auth/keyring"
	CrushFile     = "crush/crushmap"
	CrushTextFile = "crush/crushmap.txt"
	CrushJSONFile = "crush/dump.json"
)

// asJSON is a monitor's command whose answer is JSON.
func asJSON(prefix string, args ...any) cephcmd.Question {
	return cephcmd.Mon(prefix, append(args, "format", "json")...)
}

// mgrJSON is a manager's command whose answer is JSON.
func mgrJSON(prefix string, args ...any) cephcmd.Question {
	return cephcmd.Mgr(prefix, append(args, "format", "json")...)
}

// always are the files that need nothing but a connection.
var always = []item{
	{file: osdFile, ask: asJSON("osd dump"), use: "OSDs, pools, erasure code profiles, flags: the cluster's map as JSON"},
	{file: monFile, ask: asJSON("mon dump"), use: "the monitors and their addresses"},
	{file: monmapFile, ask: cephcmd.Mon("mon getmap"), form: binary, use: "the monitors' map in Ceph's own form", back: "ceph-mon --inject-monmap mon/monmap, on a monitor that is stopped"},
	{file: "cluster/health.json", ask: asJSON("health", "detail", "detail"), use: "how the cluster was when this was taken"},
	{file: versionFile, ask: asJSON("versions"), use: "which versions the daemons run"},
	{file: "cluster/features.json", ask: asJSON("features"), use: "which features daemons and clients speak"},
	{file: "config/ceph.conf", ask: cephcmd.Mon("config generate-minimal-conf"), form: text, use: "what a client needs to find the monitors", back: "copy it to /etc/ceph/ceph.conf"},
	{file: optionsFile, ask: asJSON("config dump"), use: "the options in the monitors' database"},
	{file: KeyringFile, ask: cephcmd.Mon("auth export"), form: text, need: capability{"mon", `allow command "auth export"`}, use: "every key and its capabilities; secret", back: "ceph auth import -i auth/keyring"},
	{file: "mgr/dump.json", ask: asJSON("mgr dump"), use: "the managers"},
	{file: modulesFile, ask: asJSON("mgr module ls"), use: "the managers' modules", back: "ceph mgr module enable NAME, for each of enabled_modules"},
	{file: "fs/dump.json", ask: asJSON("fs dump"), use: "file systems and their metadata servers"},
	{file: "osd/tree.json", ask: asJSON("osd tree"), use: "where each OSD stands"},
	{file: "osd/metadata.json", ask: asJSON("osd metadata"), use: "hosts, devices and versions of the OSDs"},
	{file: CrushJSONFile, ask: asJSON("osd crush dump"), use: "the CRUSH map as JSON"},
	{file: "crush/rules.json", ask: asJSON("osd crush rule dump"), use: "the CRUSH rules"},
	{file: "crush/tunables.json", ask: asJSON("osd crush show-tunables"), use: "the CRUSH tunables"},
	{file: "crush/classes.json", ask: asJSON("osd crush class ls"), use: "the device classes"},
	{file: "pools/detail.json", ask: asJSON("osd pool ls", "detail", "detail"), use: "the pools with all that is set on them", back: "sh pools/create.sh"},
	{file: "mgr/balancer.json", ask: mgrJSON("balancer status"), need: manager, use: "how placement groups are balanced"},
	{file: "orchestrator/services.yaml", ask: cephcmd.Mgr("orch ls", "export", true, "format", "yaml"), form: text, need: manager, use: "the services that the orchestrator runs", back: "ceph orch apply -i orchestrator/services.yaml"},
	{file: "orchestrator/hosts.json", ask: mgrJSON("orch host ls"), need: manager, use: "the hosts that the orchestrator runs services on", back: "ceph orch host add NAME ADDR, for each"},
}

// keyList asks for the names of the config-keys.
var keyList = item{file: keysFile, ask: asJSON("config-key ls"), need: capability{"mon", `allow command "config-key ls"`}, use: "the names of the config-keys and where their values are", back: "sh config-key/set.sh"}

// mayGetKeys is needed for the values.
var mayGetKeys = capability{"mon", `allow command "config-key get"`}

// maps are asked for by the epoch of the dump, so that they are of the same moment.
func mapsOf(epoch int64) []item {
	return []item{
		{file: osdmapFile, ask: cephcmd.Mon("osd getmap", "epoch", epoch), form: binary, use: "the OSD map in Ceph's own form: osdmaptool --print osd/osdmap"},
		{file: CrushFile, ask: cephcmd.Mon("osd getcrushmap", "epoch", epoch), form: binary, use: "the CRUSH map in Ceph's own form", back: "ceph osd setcrushmap -i crush/crushmap, which moves data"},
	}
}

// typed is a question as an operator would type it.
func typed(q cephcmd.Question) string {
	words := []string{"ceph", fmt.Sprint(q.Command["prefix"])}
	var options []string
	for _, name := range slices.Sorted(maps.Keys(q.Command)) {
		switch v := q.Command[name]; {
		case name == "prefix":
		case name == "format":
			options = append(options, "--format", fmt.Sprint(v))
		case v == true:
			options = append(options, "--"+name)
		default:
			words = append(words, quoted(fmt.Sprint(v)))
		}
	}
	return strings.Join(append(words, options...), " ")
}
