"""An application for Ryu 4.34 and os-ken 1.4.1: rules, meters and groups in batches that the switch has acknowledged.

`ofctl_rest` answers 200 when a message is queued: an unknown field is dropped, and what the switch refuses is not told.
This application reads strictly, sends a whole batch, then a barrier request, and answers when the switch has said that
everything before the barrier is done. It also tells all that a switch holds in one answer, for a small part, once it knows the rules, of what
`ofctl_rest` spends on it: a rule, meter or group is parsed when it is read for the first time, and recognised by its bytes
from then on.

    GET  /watermaster/batch           {"version": 4, "items_max": 1000}
    GET  /watermaster/table/<dpid>    {"rules": [...], "meters": [...], "groups": [...]}, as `ofctl_rest` spells them, without counters
    POST /watermaster/batch/<dpid>    {"items": [{"kind": "flow", "command": "add", "body": {...}}, ...]}

    200 {"dpid": 1, "sent": 3, "errors": []}                                    all in force
    409 {"dpid": 1, "sent": 3, "errors": [{"index": 1, "type": 12, "code": 2}]} the switch refused these; the rest stay
    400 {"error": "items[1].body.match: unknown field \\"ipv4_dest\\""}           nothing was sent
    404 {"error": "..."}                                                        no such switch is connected
    413 {"error": "..."}                                                        too large; nothing was sent
    504 {"error": "..."}                                                        the switch keeps silent: the outcome is unknown

A body is what `ofctl_rest` takes, without `dpid`, but JSON is read as JSON, every field must be known and of its type, and
nothing may be missing. What must stay true: nothing is sent unless every item of the batch is right; whatever was
remembered for a batch is forgotten when its answer goes out; and of a switch no more is remembered than it held when it was
read last. There is no authentication: bind the controller to loopback.
"""

import ipaddress
import json
import os
import struct

if os.environ.get("CONTROLLER", "os_ken") == "ryu":
    from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route
    from ryu.base.app_manager import RyuApp as Application
    from ryu.controller import dpset, ofp_event
    from ryu.controller.handler import CONFIG_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib import hub, ofctl_v1_3
    from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser
else:
    from os_ken.app.wsgi import ControllerBase, Response, WSGIApplication, route
    from os_ken.base.app_manager import OSKenApp as Application
    from os_ken.controller import dpset, ofp_event
    from os_ken.controller.handler import CONFIG_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from os_ken.lib import hub, ofctl_v1_3
    from os_ken.ofproto import ofproto_v1_3, ofproto_v1_3_parser

# 2: with groups; 3: with tables; 4: with groups of the type select.
VERSION = 4
ITEMS_MAX = 1000
BODY_MAX_BYTES = 4_000_000
ACTIONS_MAX = 16
BARRIER_WAIT_S = 5.0
# As long as `ofctl_rest` waits for the next part of what a switch holds.
TABLE_WAIT_S = 1.0
TABLE_WAITS_MAX = 8
# Between so many messages the other green threads of the controller have a turn: link discovery, probes, other requests.
SENT_AT_A_TIME = 64

FLOW_COMMANDS = {"add": "OFPFC_ADD", "delete": "OFPFC_DELETE", "delete_strict": "OFPFC_DELETE_STRICT"}
GROUP_COMMANDS = {"add": "OFPGC_ADD", "modify": "OFPGC_MODIFY", "delete": "OFPGC_DELETE"}
METER_COMMANDS = {"add": "OFPMC_ADD", "modify": "OFPMC_MODIFY", "delete": "OFPMC_DELETE"}


class Unreadable(ValueError):
    """What was asked for is not what this application takes; says where and why."""


def fields(value, where, required, optional=()):
    """A JSON object that has all of `required`, perhaps some of `optional`, and nothing else."""
    if not isinstance(value, dict):
        raise Unreadable("%s: an object is wanted" % where)
    for name in value:
        if name not in required and name not in optional:
            raise Unreadable("%s: unknown field %s" % (where, json.dumps(name)))
    for name in required:
        if name not in value:
            raise Unreadable("%s: %s is missing" % (where, name))
    return value


def integer(low, high):
    """A reader of integers between the two, both included."""

    def read(value, where):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unreadable("%s: an integer from %d to %d is wanted" % (where, low, high))
        return value

    return read


def network(of, version):
    def read(value, where):
        """An address, or a network in CIDR form without host bits."""
        if not isinstance(value, str):
            raise Unreadable("%s: an IPv%d address or network is wanted" % (where, version))
        try:
            return str(of(value))
        except ValueError as error:
            raise Unreadable("%s: %s" % (where, error)) from None

    return read


ipv4 = network(ipaddress.IPv4Network, 4)
ipv6 = network(ipaddress.IPv6Network, 6)


port = integer(1, 0xFFFFFF00)
table = integer(0, 254)
meter_id = integer(1, 0xFFFF0000)
group_id = integer(0, 0xFFFFFF00)
BUCKETS_MAX = 16

MATCH = {
    "in_port": port,
    "eth_type": integer(0x600, 0xFFFF),
    "ip_proto": integer(0, 255),
    "ip_dscp": integer(0, 63),
    "ipv4_src": ipv4,
    "ipv4_dst": ipv4,
    "ipv6_src": ipv6,
    "ipv6_dst": ipv6,
    "vlan_vid": integer(1, 4094),
    "tcp_src": integer(0, 65535),
    "tcp_dst": integer(0, 65535),
    "udp_src": integer(0, 65535),
    "udp_dst": integer(0, 65535),
    "mpls_label": integer(0, 0xFFFFF),
    "mpls_tc": integer(0, 7),
    "mpls_bos": integer(0, 1),
}
SET_FIELD = {"mpls_label": integer(16, 0xFFFFF), "mpls_tc": integer(0, 7), "ip_dscp": integer(0, 63)}
ACTIONS = {
    "OUTPUT": {"port": port},
    "PUSH_MPLS": {"ethertype": integer(0x8847, 0x8848)},
    "POP_MPLS": {"ethertype": integer(0x600, 0xFFFF)},
    "DEC_MPLS_TTL": {},
    "SET_QUEUE": {"queue_id": integer(0, 0xFFFFFFFE)},
    "METER": {"meter_id": meter_id},
    "GROUP": {"group_id": group_id},
}


def read_match(value, where):
    fields(value, where, (), MATCH)
    return {name: MATCH[name](found, "%s.%s" % (where, name)) for name, found in value.items()}


def read_action(value, where):
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "SET_FIELD":
        fields(value, where, ("type", "field", "value"))
        if value["field"] not in SET_FIELD:
            raise Unreadable("%s: unknown field" % where)
        SET_FIELD[value["field"]](value["value"], where + ".value")
    elif isinstance(kind, str) and kind in ACTIONS:
        fields(value, where, ("type", *ACTIONS[kind]))
        for name, read in ACTIONS[kind].items():
            read(value[name], "%s.%s" % (where, name))
    else:
        raise Unreadable("%s: unknown action" % where)
    return value


def read_actions(value, where):
    if not isinstance(value, list) or len(value) > ACTIONS_MAX:
        raise Unreadable("%s: a list of at most %d actions is wanted" % (where, ACTIONS_MAX))
    return [read_action(action, "%s[%d]" % (where, at)) for at, action in enumerate(value)]


U64 = integer(0, 0xFFFFFFFFFFFFFFFF)
PRIORITY = integer(0, 0xFFFF)


def flow(datapath, command, body, where):
    """The OFPFlowMod that a body asks for."""
    if command not in FLOW_COMMANDS:
        raise Unreadable("%s: unknown command" % where)
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    if command == "add":
        fields(body, where, ("cookie", "priority", "match", "actions"), ("table_id",))
        mask = 0
    elif command == "delete":
        fields(body, where, ("cookie", "cookie_mask"), ("table_id", "match"))
        mask = U64(body["cookie_mask"], where + ".cookie_mask")
        # A mask of zero is "every rule there is", link discovery's too: nobody wants that from here.
        if mask == 0:
            raise Unreadable("%s.cookie_mask: zero would delete every rule" % where)
    else:
        fields(body, where, ("cookie", "cookie_mask", "priority", "match"), ("table_id",))
        mask = U64(body["cookie_mask"], where + ".cookie_mask")
    every = protocol.OFPTT_ALL if command == "delete" else 0
    return parser.OFPFlowMod(
        datapath,
        cookie=U64(body["cookie"], where + ".cookie"),
        cookie_mask=mask,
        table_id=table(body["table_id"], where + ".table_id") if "table_id" in body else every,
        command=getattr(protocol, FLOW_COMMANDS[command]),
        priority=PRIORITY(body.get("priority", 0), where + ".priority"),
        out_port=protocol.OFPP_ANY,
        out_group=protocol.OFPG_ANY,
        match=ofctl_v1_3.to_match(datapath, read_match(body.get("match", {}), where + ".match")),
        instructions=ofctl_v1_3.to_actions(datapath, read_actions(body.get("actions", []), where + ".actions")),
    )


def meter(datapath, command, body, where):
    """The OFPMeterMod that a body asks for: one DROP band, in kbit/s."""
    if command not in METER_COMMANDS:
        raise Unreadable("%s: unknown command" % where)
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    flags, bands = 0, []
    if command == "delete":
        fields(body, where, ("meter_id",))
    else:
        fields(body, where, ("meter_id", "flags", "bands"))
        if not isinstance(body["flags"], list) or sorted(map(str, body["flags"])) != ["BURST", "KBPS", "STATS"]:
            raise Unreadable('%s.flags: ["KBPS", "BURST", "STATS"] is wanted' % where)
        flags = protocol.OFPMF_KBPS | protocol.OFPMF_BURST | protocol.OFPMF_STATS
        if not isinstance(body["bands"], list) or len(body["bands"]) != 1:
            raise Unreadable("%s.bands: one band is wanted" % where)
        band = fields(body["bands"][0], where + ".bands[0]", ("type", "rate", "burst_size"))
        if band["type"] != "DROP":
            raise Unreadable("%s.bands[0].type: DROP is wanted" % where)
        size = integer(1, 0xFFFFFFFF)
        rate, burst = (size(band[name], "%s.bands[0].%s" % (where, name)) for name in ("rate", "burst_size"))
        bands = [parser.OFPMeterBandDrop(rate, burst)]
    number = meter_id(body["meter_id"], where + ".meter_id")
    return parser.OFPMeterMod(datapath, getattr(protocol, METER_COMMANDS[command]), flags, number, bands)


def split_bucket(datapath, body, where):
    """One bucket of a select group: a weight, and what is done with a packet while a port lives."""
    fields(body, where, ("weight", "watch_port", "actions"))
    actions = []
    for at, action in enumerate(read_actions(body["actions"], where + ".actions")):
        if action["type"] in ("METER", "GROUP"):
            raise Unreadable("%s.actions[%d].type: %s is no action of a bucket" % (where, at, action["type"]))
        actions.append(ofctl_v1_3.to_action(datapath, action))
    return datapath.ofproto_parser.OFPBucket(
        weight=integer(1, 0xFFFF)(body["weight"], where + ".weight"),
        watch_port=port(body["watch_port"], where + ".watch_port"),
        watch_group=datapath.ofproto.OFPG_ANY,
        actions=actions,
    )


def bucket(datapath, body, where):
    """One bucket of a fast-failover group: packets go out of a port, or back out of that by which they came."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    fields(body, where, ("watch_port", "actions"))
    actions = body["actions"]
    if not isinstance(actions, list) or len(actions) != 1:
        raise Unreadable("%s.actions: one action is wanted" % where)
    action = fields(actions[0], where + ".actions[0]", ("type", "port"))
    if action["type"] != "OUTPUT":
        raise Unreadable("%s.actions[0].type: OUTPUT is wanted" % where)
    out = action["port"]
    if out != protocol.OFPP_IN_PORT:
        out = port(out, where + ".actions[0].port")
    return parser.OFPBucket(
        watch_port=port(body["watch_port"], where + ".watch_port"),
        watch_group=protocol.OFPG_ANY,
        actions=[parser.OFPActionOutput(out)],
    )


GROUP_TYPES = {
    "FF": (ofproto_v1_3.OFPGT_FF, bucket),
    "SELECT": (ofproto_v1_3.OFPGT_SELECT, split_bucket),
}


def group(datapath, command, body, where):
    """The OFPGroupMod that a body asks for: a group of the type fast failover (FF), or select."""
    if command not in GROUP_COMMANDS:
        raise Unreadable("%s: unknown command" % where)
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    buckets, others = [], () if command == "delete" else ("buckets",)
    fields(body, where, ("type", "group_id", *others))
    if not isinstance(body["type"], str) or body["type"] not in GROUP_TYPES:
        raise Unreadable("%s.type: FF or SELECT is wanted" % where)
    kind, read_bucket = GROUP_TYPES[body["type"]]
    if others:
        if not isinstance(body["buckets"], list) or not 1 <= len(body["buckets"]) <= BUCKETS_MAX:
            raise Unreadable("%s.buckets: a list of 1 to %d is wanted" % (where, BUCKETS_MAX))
        places = ("%s.buckets[%d]" % (where, at) for at in range(len(body["buckets"])))
        buckets = [read_bucket(datapath, *told) for told in zip(body["buckets"], places)]
    number = group_id(body["group_id"], where + ".group_id")
    return parser.OFPGroupMod(datapath, getattr(protocol, GROUP_COMMANDS[command]), kind, number, buckets)


def messages(datapath, document):
    """Every message of a batch, or `Unreadable` and none."""
    items = fields(document, "body", ("items",))["items"]
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MAX:
        raise Unreadable("items: a list of 1 to %d is wanted" % ITEMS_MAX)
    built = []
    for at, item in enumerate(items):
        where = "items[%d]" % at
        fields(item, where, ("kind", "command", "body"))
        kinds = {"flow": flow, "meter": meter, "group": group}
        if not isinstance(item["kind"], str) or item["kind"] not in kinds or not isinstance(item["command"], str):
            raise Unreadable("%s: unknown kind or command" % where)
        built.append(kinds[item["kind"]](datapath, item["command"], item["body"], where + ".body"))
    return built


class Reading:
    """A multipart answer, part by part, as it came."""

    def __init__(self):
        self.parts = []
        self.is_refused = False
        self.done = hub.Event()

    def add(self, part):
        self.parts.append(part)
        # OpenFlow 1.3 section 7.3.5: header, type, flags, padding, body.
        if not struct.unpack_from("!H", part, 10)[0] & ofproto_v1_3.OFPMPF_REPLY_MORE:
            self.done.set()

    def is_whole(self):
        """Waits for the end, as long as parts keep coming."""
        for _ in range(TABLE_WAITS_MAX):
            known = len(self.parts)
            if self.done.wait(timeout=TABLE_WAIT_S):
                return True
            if len(self.parts) == known:
                break
        return False

    def entries(self):
        """Each of its entries begins with its length."""
        for part in self.parts:
            offset = ofproto_v1_3.OFP_MULTIPART_REPLY_SIZE
            while offset < len(part):
                length = struct.unpack_from("!H", part, offset)[0]
                if length < 8:
                    raise ValueError("an entry of %d octets" % length)
                yield part[offset : offset + length]
                offset += length


def bytes_of_rule(entry):
    """All but its age and counters."""
    return entry[:4] + entry[12:32] + entry[48:]


def told_rule(entry):
    rule = ofproto_v1_3_parser.OFPFlowStats.parser(entry, 0)
    names = ("priority", "cookie", "table_id", "idle_timeout", "hard_timeout")
    told = {name: getattr(rule, name) for name in names}
    # Of another program's rules some have no text: `ofctl_rest` answers with 500 then, whatever else there is.
    told["match"] = or_else({"unreadable": bytes_of_rule(entry).hex()}, ofctl_v1_3.match_to_str, rule.match)
    told["actions"] = or_else(["UNREADABLE:" + bytes_of_rule(entry).hex()], ofctl_v1_3.actions_to_str, rule.instructions)
    return told


def or_else(instead, tell, thing):
    try:
        return tell(thing)
    except Exception:
        return instead


METER_FLAGS = ("KBPS", "PKTPS", "BURST", "STATS")


def told_meter(entry):
    meter = ofproto_v1_3_parser.OFPMeterConfigStats.parser(entry, 0)
    flags = [name for name in METER_FLAGS if meter.flags & getattr(ofproto_v1_3, "OFPMF_" + name)]
    drop = ofproto_v1_3.OFPMBT_DROP
    bands = [
        {"type": "DROP" if band.type == drop else "OTHER", "rate": band.rate, "burst_size": band.burst_size}
        for band in meter.bands
    ]
    return {"meter_id": meter.meter_id, "flags": flags, "bands": bands}


def told_group(entry):
    group = ofproto_v1_3_parser.OFPGroupDescStats.parser(entry, 0)
    buckets = [
        {
            "weight": bucket.weight,
            "watch_port": bucket.watch_port,
            "actions": [ofctl_v1_3.action_to_str(action) for action in bucket.actions],
        }
        for bucket in group.buckets
    ]
    names = [name for name, (number, _) in GROUP_TYPES.items() if number == group.type]
    return {"group_id": group.group_id, "type": (names or ["OTHER"])[0], "buckets": buckets}


def table_requests(datapath):
    """For each kind of entry: the request, what an entry is recognised by, and how it is told."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    every = (0, protocol.OFPTT_ALL, protocol.OFPP_ANY, protocol.OFPG_ANY, 0, 0, parser.OFPMatch())
    return {
        "rules": (parser.OFPFlowStatsRequest(datapath, *every), bytes_of_rule, told_rule),
        "meters": (parser.OFPMeterConfigStatsRequest(datapath, 0, protocol.OFPM_ALL), bytes, told_meter),
        "groups": (parser.OFPGroupDescStatsRequest(datapath, 0), bytes, told_group),
    }


class WatermasterBatch(Application):
    """Sends batches and waits for what the switches say to them; reads tables."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS = {"dpset": dpset.DPSet, "wsgi": WSGIApplication}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.dpset = kwargs["dpset"]
        self.barriers = {}
        self.refusals = {}
        self.readings = {}
        self.texts = {}
        self.read_multipart_raw()
        kwargs["wsgi"].register(BatchController, {"application": self})

    def read_multipart_raw(self):
        """Multipart answers that this application asked for are not parsed by the controller."""
        parsers = ofproto_v1_3_parser._MSG_PARSERS
        parse = parsers[ofproto_v1_3.OFPT_MULTIPART_REPLY]

        def parse_others(datapath, version, msg_type, msg_len, xid, buf):
            reading = self.readings.get((datapath.id, xid))
            if reading is None:
                return parse(datapath, version, msg_type, msg_len, xid, buf)
            reading.add(bytes(buf))
            return None

        parsers[ofproto_v1_3.OFPT_MULTIPART_REPLY] = parse_others

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def barrier_reply(self, event):
        waiting = self.barriers.get((event.msg.datapath.id, event.msg.xid))
        if waiting:
            waiting.set()

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [HANDSHAKE_DISPATCHER, CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def refusal(self, event):
        told = self.refusals.get((event.msg.datapath.id, event.msg.xid))
        if told:
            errors, index = told
            errors.append({"index": index, "type": event.msg.type, "code": event.msg.code})
        reading = self.readings.get((event.msg.datapath.id, event.msg.xid))
        if reading:
            reading.is_refused = True
            reading.done.set()

    @set_ev_cls(dpset.EventDP, MAIN_DISPATCHER)
    def leave(self, event):
        if not event.enter:
            self.texts.pop(event.dp.id, None)

    def table(self, datapath):
        """The JSON of all that a switch holds, or None where it keeps silent."""
        requests, readings = table_requests(datapath), {}
        try:
            for kind, (request, _, _) in requests.items():
                datapath.set_xid(request)
                readings[kind] = self.readings[(datapath.id, request.xid)] = Reading()
                datapath.send_msg(request)
            if not all(reading.is_whole() for reading in readings.values()):
                return None
            # A switch without meters or groups says so, and has none; each has rules.
            if readings["rules"].is_refused:
                return None
        finally:
            for request, _, _ in requests.values():
                self.readings.pop((datapath.id, request.xid), None)
        before, now, lists = self.texts.get(datapath.id, {}), {}, []
        for kind, (_, known_by, told) in requests.items():
            texts = []
            for entry in readings[kind].entries():
                key = (kind, known_by(entry))
                text = before.get(key)
                if text is None:
                    text = json.dumps(told(entry))
                    if len(texts) % SENT_AT_A_TIME == 0:
                        hub.sleep(0)
                now[key] = text
                texts.append(text)
            lists.append('"%s": [%s]' % (kind, ", ".join(texts)))
        self.texts[datapath.id] = now
        return "{%s}" % ", ".join(lists)

    def send(self, datapath, built):
        """Sends all, waits for the barrier; the refusals, or None where the switch kept silent."""
        errors, keys, done = [], [], hub.Event()
        barrier = datapath.ofproto_parser.OFPBarrierRequest(datapath)
        try:
            for index, message in enumerate(built):
                datapath.set_xid(message)
                keys.append((datapath.id, message.xid))
                self.refusals[keys[-1]] = (errors, index)
            datapath.set_xid(barrier)
            self.barriers[(datapath.id, barrier.xid)] = done
            for at, message in enumerate(built):
                datapath.send_msg(message)
                if at % SENT_AT_A_TIME == SENT_AT_A_TIME - 1:
                    hub.sleep(0)
            datapath.send_msg(barrier)
            return errors if done.wait(timeout=BARRIER_WAIT_S) else None
        finally:
            self.barriers.pop((datapath.id, barrier.xid), None)
            for key in keys:
                self.refusals.pop(key, None)


class BatchController(ControllerBase):
    """Speech: reads the request, says the outcome."""

    def __init__(self, req, link, data, **config):
        super().__init__(req, link, data, **config)
        self.application = data["application"]

    @route("watermaster", "/watermaster/batch", methods=["GET"])
    def about(self, _req, **_):
        return answer(200, {"version": VERSION, "items_max": ITEMS_MAX})

    @route("watermaster", "/watermaster/table/{dpid}", methods=["GET"], requirements={"dpid": r"[0-9]{1,20}"})
    def table(self, _req, dpid, **_):
        datapath = self.application.dpset.get(int(dpid))
        if datapath is None:
            return answer(404, {"error": "no switch %s is connected" % dpid})
        text = self.application.table(datapath)
        if text is None:
            return answer(504, {"error": "switch %s keeps silent" % dpid})
        return Response(status=200, content_type="application/json", charset="utf-8", body=text)

    @route("watermaster", "/watermaster/batch/{dpid}", methods=["POST"], requirements={"dpid": r"[0-9]{1,20}"})
    def batch(self, req, dpid, **_):
        if (req.content_length or 0) > BODY_MAX_BYTES:
            return answer(413, {"error": "at most %d octets" % BODY_MAX_BYTES})
        datapath = self.application.dpset.get(int(dpid))
        if datapath is None:
            return answer(404, {"error": "no switch %s is connected" % dpid})
        try:
            built = messages(datapath, json.loads(req.body))
        except (ValueError, RecursionError) as error:
            return answer(400, {"error": str(error)})
        errors = self.application.send(datapath, built)
        if errors is None:
            return answer(504, {"error": "no barrier reply in %d s: the outcome is unknown" % BARRIER_WAIT_S})
        return answer(409 if errors else 200, {"dpid": datapath.id, "sent": len(built), "errors": errors})


def answer(status, document):
    return Response(status=status, content_type="application/json", charset="utf-8", body=json.dumps(document))
