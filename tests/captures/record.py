#!/usr/bin/env python3
"""Makes one conntrack entry of every kind in a fresh network namespace and records what the kernel says of them.

    sudo unshare --net python3 tests/captures/record.py tests/captures

Everything stays on that namespace's loopback, and it goes with this process. Needs iproute2, nftables and
conntrack-tools. README.md tells the format, and what is made is asserted in tests/decode/captures.rs.
"""

import os, socket, struct, subprocess, sys, time

if subprocess.check_output(["ip", "link", "show", "up"]):
    sys.exit("record.py: an interface is up, so this is no fresh namespace; start it with unshare --net")
TARGET = sys.argv[1]
CLIENT, SERVER, SILENT, BALANCED, HIDDEN = "10.1.0.1", "10.1.0.9", "10.1.0.66", "10.1.0.80", "10.1.0.90"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8::9"
NFT = """
table inet capture {
  ct helper ftp-standard { type "ftp" protocol tcp; }
  chain first {
    type filter hook output priority raw;
    udp dport 7001 ct zone set 7
    udp sport 7001 ct zone set 7
    udp dport 7002 ct original zone set 8
    udp dport 7003 ct reply zone set 9
  }
  chain marks {
    type filter hook output priority filter;
    tcp dport 21 ct helper set "ftp-standard"
    udp dport 6001 ct mark set 0x2a
    udp dport 6002 ct label set 5
  }
  chain local { type filter hook input priority filter; ip daddr 10.1.0.66 drop; udp dport 9 drop; }
  chain destinations {
    type nat hook output priority -100;
    ip daddr 10.1.0.80 tcp dport 80 dnat ip to 10.1.0.9:8080
  }
  chain sources {
    type nat hook postrouting priority 100;
    ip saddr 10.1.0.1 udp dport 5300 snat ip to 10.1.0.90:6666
  }
}
"""


def run(*words, text=None):
    subprocess.run(words, check=True, input=text, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sysctl(name, value):
    with open(f"/proc/sys/net/netfilter/nf_conntrack_{name}", "w") as file:
        file.write(str(value))


def netlink(groups=()):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.bind((0, 0))
    for group in groups:
        s.setsockopt(270, 1, group)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
    return s


def write(name, datagrams):
    with open(os.path.join(TARGET, name), "wb") as file:
        for datagram in datagrams:
            file.write(struct.pack("<I", len(datagram)) + datagram)


def dump():
    s, got = netlink(), []
    # IPCTNL_MSG_CT_GET with NLM_F_REQUEST | NLM_F_DUMP, sequence 77, AF_UNSPEC.
    s.send(struct.pack("=IHHII4x", 20, 0x101, 0x301, 77, 0))
    while True:
        got.append(s.recv(1 << 16))
        if struct.unpack_from("=IH", got[-1])[1] == 3:  # NLMSG_DONE
            return got


def tcp(source, sport, dest, dport, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((source, sport))
    s.connect((dest, dport))
    return s


def listen(address, port, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(16)
    return s


def udp(source, sport, dest, dport, answered, family=socket.AF_INET, protocol=0):
    c = socket.socket(family, socket.SOCK_DGRAM, protocol)
    c.bind((source, sport))
    s = socket.socket(family, socket.SOCK_DGRAM, protocol)
    s.bind((dest, dport))
    s.settimeout(5)
    c.settimeout(5)
    c.sendto(b"q", (dest, dport))
    if answered:
        s.sendto(b"a", s.recvfrom(9)[1])
        c.recv(9)
    return c, s


def raw(family, protocol, source, dest, payload):
    s = socket.socket(family, socket.SOCK_RAW, protocol)
    s.bind((source, 0))
    s.sendto(payload, (dest, 0))
    s.close()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def insert(*words):
    run("conntrack", "-I", *words)


run("ip", "link", "set", "lo", "up")
for address in [f"{CLIENT}/24", f"{SERVER}/24", f"{SILENT}/24", f"{BALANCED}/24", f"{HIDDEN}/24"]:
    run("ip", "address", "add", address, "dev", "lo")
for address in [f"{CLIENT6}/64", f"{SERVER6}/64"]:
    run("ip", "address", "add", address, "dev", "lo", "nodad")
run("nft", "-f", "-", text=NFT)
for name in ["acct", "timestamp", "events"]:
    sysctl(name, 1)
sysctl("checksum", 0)  # the SCTP packet below has none
stream = netlink([1, 2, 3])

# TCP by real packets.
server, server6, ftp = listen(SERVER, 8080), listen(SERVER6, 8080, socket.AF_INET6), listen(SERVER, 21)
established = tcp(CLIENT, 40001, SERVER, 8080), server.accept()
established6 = tcp(CLIENT6, 40002, SERVER6, 8080, socket.AF_INET6), server6.accept()
half = socket.socket()
half.setblocking(False)
half.bind((CLIENT, 40003))
half.connect_ex((SILENT, 81))
waiting = tcp(CLIENT, 40004, SERVER, 8080), server.accept()[0]
waiting[0].close()
assert waiting[1].recv(1) == b""
waiting[1].close()
half_closed = tcp(CLIENT, 40005, SERVER, 8080), server.accept()[0]
half_closed[0].shutdown(socket.SHUT_WR)
assert half_closed[1].recv(1) == b""
reset = tcp(CLIENT, 40006, SERVER, 8080), server.accept()[0]
reset[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
reset[0].close()
balanced = tcp(CLIENT, 40007, BALANCED, 80), server.accept()

# An FTP control connection and the data connection that its helper expects.
control = tcp(CLIENT, 40008, SERVER, 21), ftp.accept()[0]
data = listen(SERVER, 51201)
for line in [b"220 ready\r\n", b"227 Entering Passive Mode (10,1,0,9,200,1)\r\n"]:
    control[1].send(line)
    assert control[0].recv(99) == line
child = tcp(CLIENT, 40009, SERVER, 51201), data.accept()

# UDP and UDP-Lite, zones, mark, label, source NAT.
keep = [
    udp(CLIENT, 5001, SERVER, 53, True),
    udp(CLIENT, 5002, SERVER, 9, False),
    udp(CLIENT6, 5003, SERVER6, 53, True, socket.AF_INET6),
    udp(CLIENT, 5004, SERVER, 53, True, protocol=136),
    udp(CLIENT, 5005, SERVER, 7001, True),
    udp(CLIENT, 5006, SERVER, 7002, False),
    udp(CLIENT, 5007, SERVER, 7003, False),
    udp(CLIENT, 5008, SERVER, 6001, False),
    udp(CLIENT, 5009, SERVER, 6002, False),
    udp(CLIENT, 5010, SERVER, 5300, True),
]

# ICMP and ICMPv6 echo with identifier 0x1234, SCTP INIT, GRE without key, DCCP request, and protocol 253.
echo = struct.pack("!BBHHH", 8, 0, 0, 0x1234, 1)
raw(socket.AF_INET, 1, CLIENT, SERVER, echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:])
raw(socket.AF_INET6, 58, CLIENT6, SERVER6, struct.pack("!BBHHH", 128, 0, 0, 0x1234, 1))
init = struct.pack("!HHII", 3001, 3868, 0, 0) + struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 9)
raw(socket.AF_INET, 132, CLIENT, SILENT, init)
raw(socket.AF_INET6, 132, CLIENT6, SERVER6, init)
raw(socket.AF_INET, 47, CLIENT, SILENT, struct.pack("!HH", 0, 0x0800) + bytes(20))
raw(socket.AF_INET, 33, CLIENT, SILENT, struct.pack("!HHBBHI", 3002, 5001, 5, 0, 0, 1) + struct.pack("!II", 1, 0))
raw(socket.AF_INET, 253, CLIENT, SILENT, b"unknown")
raw(socket.AF_INET6, 253, CLIENT6, SERVER6, b"unknown")

# Inserted by another ctnetlink user: a state that is hard to hold, GRE with keys.
pair = ["-s", "10.2.0.1", "-d", "10.2.0.2"]
insert("-p", "tcp", *pair, "--sport", "1001", "--dport", "80", "--state", "SYN_RECV", "-t", "600", "-u", "SEEN_REPLY")
insert("-p", "tcp", *pair, "--sport", "1002", "--dport", "80", "--state", "LAST_ACK", "-t", "600", "-u", "ASSURED,SEEN_REPLY", "-m", "0xfedcba98")
insert("-p", "gre", *pair, "--srckey", "0x11", "--dstkey", "0x22", "-t", "600")
insert("-p", "udp", *pair, "--sport", "1003", "--dport", "53", "-t", "600", "-w", "4660")
insert("-p", "udp", *pair, "--sport", "1004", "--dport", "53", "-t", "600")
insert("-p", "udp", *pair, "--sport", "1005", "--dport", "53", "-t", "1")

time.sleep(0.2)  # the last acknowledgements
# The second dump, after the last insert's one second is over, reaps its entry (ctnetlink_dump_table).
write("dump.bin", dump())
run("conntrack", "-U", "-p", "udp", *pair, "--sport", "1004", "--dport", "53", "-m", "0x99")
run("conntrack", "-D", "-p", "udp", *pair, "--sport", "1004", "--dport", "53")
time.sleep(1.5)
dump()
stream.setblocking(False)
events = []
while True:
    try:
        events.append(stream.recv(1 << 16))
    except BlockingIOError:
        break
write("events.bin", events)
