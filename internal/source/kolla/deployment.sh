# Prints "NAME==VERSION" of the packages beside kolla-ansible, if it is installed in the PATH or a usual place.
for tool in "$(command -v kolla-ansible)" /opt/kolla*/bin/kolla-ansible /opt/*/venv*/bin/kolla-ansible \
	/root/*/bin/kolla-ansible /home/*/*/bin/kolla-ansible; do
	[ -x "$tool" ] || continue
	bin=$(dirname "$(readlink -f "$tool")")
	for python in "$bin/python3" "$bin/python"; do
		[ -x "$python" ] || continue
		"$python" -m pip freeze --disable-pip-version-check 2>/dev/null
		exit 0
	done
done
exit 0
