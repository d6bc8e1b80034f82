# SPDX-License-Identifier: GPL-2.0-or-later
"""What a phone does, step by step, and what is wrong with how it was answered."""
import asyncio
import base64
import binascii
import contextlib
import ipaddress
import secrets

from . import secagree, sip
from .air import AirError
from .phone import Failure
from .usim import Challenge, OutOfRange, WrongMac
from .xfrm import XfrmError

STEPS = ('register', 'reregister', 'call', 'message', 'deregister')
# What comes to the phone on its own, and the de-registration that ends a run
INCOMING, LEAVE = 'incoming', 'leave'
REALM_OF_DIGEST = 'Digest username="{}", realm="{}", nonce="", uri="{}", response=""'
# Of what failed: nothing came that could be judged
LOST = ('no-answer', 'unreachable', 'no-connection', 'connection-lost', 'nothing-over-esp', 'esp-silent', 'icv')


class Result:
    """One step of one phone. seconds: None where it was not answered; faults, notes: [(code, text, detail)]."""

    def __init__(self, step, impi):
        self.step, self.impi, self.seconds = step, impi, None
        self.resent = self.clear = self.old = 0
        self.faults, self.notes = [], []

    def lost(self):
        """Did no answer come?"""
        return any(code in LOST for code, _, _ in self.faults)


class Script:
    """A phone and what it is to do."""

    def __init__(self, phone, report):
        self.phone, self.report, self.options = phone, report, phone.env.options
        self.result = None
        phone.requests = self.incoming

    # --- What is found

    def fault(self, code, text, detail='', result=None):
        """Something is wrong: the step has failed, even if it goes on."""
        result = result or self.result
        if (code, text) not in [x[:2] for x in result.faults]:
            result.faults.append((code, text, detail))

    def note(self, code, text, detail=''):
        if (code, text) not in [x[:2] for x in self.result.notes]:
            self.result.notes.append((code, text, detail))

    @contextlib.asynccontextmanager
    async def step(self, name):
        """What goes wrong within has the step fail, and nothing after it."""
        self.result = result = Result(name, self.phone.subscriber.impi)
        resent = self.phone.resent
        try:
            yield result
        except Failure as e:
            self.fault(e.code, e.text, e.detail)
        except XfrmError as e:
            self.fault('no-sa', 'this host\'s kernel has not taken the SAs', str(e))
        except AirError as e:
            self.fault('no-socket', 'no socket on this host', str(e))
        # One that is broken off by a signal is not told
        result.resent = self.phone.resent - resent
        self.report.add(result)

    def judge(self, answer, over, method):
        """How an answer came, beside how it should have."""
        came, what = answer.came, f'the {answer.status} to {method}'
        if not over:
            return
        if not came.over:
            self.result.clear += 1
            self.fault('in-clear', f'{what} came in clear, and a phone does not take it', f'from port {came.source} to port {came.port}')
        elif came.over is not over:
            self.result.old += 1
            self.fault('old-set', f'{what} came over another set than its request: over the old one', f'over SPI {came.over.spi_s:#x}')
        elif not came.conn and came.port != over.port_s:
            self.note('port', f'{what} came from port_ps to port_uc over UDP, and not from port_pc to port_us (TS 33.203 clause 7.1)')

    # --- Registration

    def register_lines(self, new, over, expires, authorization):
        phone, realm = self.phone, self.options.realm or self.phone.subscriber.domain
        phone.cseq += 1
        lines = phone.head('REGISTER', f'sip:{realm}', over, phone.subscriber.impu, phone.call_id, phone.cseq)
        lines += [phone.contact(over), f'Expires: {expires}', f'Authorization: {authorization}', f'Security-Client: {new.client}',
                  'Require: sec-agree', 'Proxy-Require: sec-agree', 'Supported: path, sec-agree']
        if over:
            lines.append(f'Security-Verify: {over.verify}')
        return lines

    async def register(self, over, expires=None):
        """REGISTER in clear or over a set, the challenge, the answer over the new set; seconds of all of it."""
        phone, options, start = self.phone, self.options, asyncio.get_running_loop().time()
        expires = options.expires if expires is None else expires
        realm = options.realm or phone.subscriber.domain
        new, uri = phone.new_set(over.port_s if over else None), f'sip:{realm}'
        authorization = phone.challenge.authorization(phone.subscriber.impi, 'REGISTER', uri) if over else \
            REALM_OF_DIGEST.format(phone.subscriber.impi, realm, uri)
        try:
            for resynchronised in (False, True):
                answer = await phone.request(self.register_lines(new, over, expires, authorization), over)
                self.judge(answer, over, 'REGISTER')
                if answer.status == 200 and over:
                    phone.drop(new)
                    self.registered(answer, expires)
                    if expires:
                        self.note('not-challenged', 'it was not challenged: the set that there is lives longer')
                    return asyncio.get_running_loop().time() - start
                challenge = self.challenge_of(answer)
                try:
                    keys = self.take(challenge)
                    break
                except OutOfRange as e:
                    if resynchronised:
                        raise Failure('sqn', 'AUTN\'s SQN is out of range even after AUTS: the HSS does not resynchronise', str(e)) from e
                    self.note('resynchronised', 'AUTN\'s SQN was out of range: resynchronised with AUTS', str(e))
                    # Other SPIs and another port_uc (TS 24.229 clause 5.1.1.5.3)
                    phone.drop(new)
                    new = phone.new_set(over.port_s if over else None)
                    authorization = challenge.authorization(phone.subscriber.impi, 'REGISTER', uri, e.auts)
            self.agree(new, answer, keys)
            phone.challenge = challenge
            authorization = challenge.authorization(phone.subscriber.impi, 'REGISTER', uri)
            answer = await phone.request(self.register_lines(new, new, expires, authorization), new)
        except BaseException:
            phone.drop(new)
            raise
        self.judge(answer, new, 'REGISTER over the new set')
        if answer.status != 200:
            phone.drop(new)
            if answer.status == 401:
                raise Failure('res', 'the answer to the challenge was challenged again: the HSS has another RES, or the S-CSCF has forgotten the nonce')
            raise self.refusal(answer, 'REGISTER over the new set')
        phone.now, old = new, phone.now
        if old:
            phone.retire(old)
        self.registered(answer, expires)
        return asyncio.get_running_loop().time() - start

    def registered(self, answer, expires):
        phone = self.phone
        phone.service_route = sip.header_list(answer.message.all('service-route'))
        if not expires:
            return
        ends = [x for x in sip.header_list(answer.message.all('contact')) if sip.uri_of(x).partition('@')[2].startswith(phone.host)]
        if not ends:
            self.note('contact', 'the 200 to REGISTER does not list the phone\'s Contact')

    def challenge_of(self, answer):
        """Of a 401 what it asks. Failure: it is no challenge that a phone can answer, or no 401."""
        m = answer.message
        if answer.status != 401:
            raise self.refusal(answer, 'REGISTER')
        values = [x for x in m.all('www-authenticate') if x.lower().startswith('digest')]
        found = [sip.parameters(x) for x in values]
        aka = next((x for x in found if x.get('algorithm', '').upper() == 'AKAV1-MD5'), None)
        if not aka:
            said = ', '.join(x.get('algorithm', 'MD5') for x in found) or 'nothing'
            raise Failure('no-aka', f'the 401 challenges with {said}, and not with AKAv1-MD5')
        if 'ck' in aka or 'ik' in aka:
            self.fault('keys-sent', 'the 401 brings ck and ik to the phone: anybody on the way can read what is encrypted')
        qop = 'auth' in [x.strip().lower() for x in aka.get('qop', '').split(',')]
        return Challenge(aka.get('realm', ''), aka.get('nonce', ''), qop, aka['algorithm'], aka.get('opaque'))

    def take(self, challenge):
        """CK and IK. Failure, or usim.OutOfRange."""
        try:
            nonce = base64.b64decode(challenge.nonce, validate=True)
        except (ValueError, binascii.Error):
            nonce = b''
        if len(nonce) < 32:
            raise Failure('no-aka', 'the nonce of the 401 is not RAND and AUTN in base64')
        try:
            challenge.res, ck, ik = self.phone.subscriber.usim.take(nonce[:16], nonce[16:32])
        except WrongMac:
            raise Failure('autn-mac', 'AUTN\'s MAC is wrong: K or OPc differ from what the HSS has') from None
        return ck, ik

    def agree(self, new, answer, keys):
        """What Security-Server says, and the SAs."""
        m, options = answer.message, self.options
        mechanisms = secagree.parse(m.all('security-server'))
        if not mechanisms:
            raise Failure('no-security-server', 'the 401 has no Security-Server: IPsec is not configured at the P-CSCF, or it has had no ck and ik, '
                          'or has not found the phone\'s REGISTER again')
        chosen = secagree.choose(mechanisms, options.pairs, options.modes)
        if not chosen:
            said = ', '.join(f'{x.name} {x.pair[0]}={x.pair[1]} {x.mode}' for x in mechanisms)
            raise Failure('no-pair', 'Security-Server has no pair that the phone offered', said)
        faults = chosen.faults()
        if {chosen.number('spi-c'), chosen.number('spi-s')} & {new.spi_c, new.spi_s}:
            faults.append('it repeats an SPI of the phone\'s')
        if faults:
            raise Failure('security-server', f'Security-Server is not usable: {", ".join(faults)}', chosen.text)
        if chosen.reserved():
            self.fault('reserved-spi', f'Security-Server has SPIs below 256, which are reserved: {", ".join(chosen.reserved())}', chosen.text)
        # As it is (RFC 3329 clause 2.3.1)
        new.install(chosen, ', '.join(m.all('security-server')), *keys)

    def refusal(self, answer, what):
        """A final answer that is no success."""
        m, hint = answer.message, ''
        if answer.status in (421, 494):
            said = secagree.parse(m.all('security-server'))
            if any(x.name == 'ipsec-3gpp' and (x.pair not in self.options.pairs or x.mode not in self.options.modes) for x in said) and \
                    not secagree.choose(said, self.options.pairs, self.options.modes):
                return Failure('no-pair', f'{what}: {m.text()}: no pair of algorithms and mode in common', '; '.join(x.text for x in said))
            hint = ': no pair in common, or another Security-Verify than the P-CSCF\'s' if answer.status == 494 else ': it wants Security-Client'
        elif answer.status == 503 and what == 'REGISTER':
            hint = ': the P-CSCF makes no SAs for it (its log says why), or has no way to the core'
        elif answer.status == 200:
            return Failure('not-challenged', f'{what}: 200 without a challenge: there is no IPsec')
        return Failure('refused', f'{what}: {m.text()}{hint}')

    # --- What a registered phone does

    def out(self, method, uri, more, call_id=None, cseq=None, to=None, to_tag='', routes=None):
        """The lines of a request over the set that there is."""
        phone = self.phone
        over = phone.now
        if not over:
            raise Failure('not-registered', f'{method}: not sent, the phone is not registered')
        if routes is None:
            routes = [f'<sip:{sip.host_of(self.options.pcscf)}:{over.port_ps};lr>', *phone.service_route]
            more = [*more, f'P-Preferred-Identity: <{phone.subscriber.impu}>']
        if not cseq:
            phone.cseq += 1
        return over, phone.head(method, uri, over, to or uri, call_id or phone.call_id, cseq or phone.cseq, to_tag, routes) + list(more)

    async def asked(self, over, lines, method, body=''):
        """A request over a set, and its answer, which has to be a success."""
        answer = await self.phone.request(lines, over, body)
        self.judge(answer, over, method)
        if answer.came.over is over:
            over.used = True
        if answer.status >= 300:
            raise self.refusal(answer, method)
        return answer

    async def message(self):
        body = 'imsipsec-ue'
        over, lines = self.out('MESSAGE', self.to(), ['Content-Type: text/plain'], secrets.token_hex(12))
        return (await self.asked(over, lines, 'MESSAGE', body)).seconds

    def to(self):
        return self.options.to or self.report.next_impu(self.phone.subscriber.impu)

    async def call(self):
        """INVITE, ACK, BYE; seconds until the 200 to INVITE."""
        phone, to, call_id = self.phone, self.to(), secrets.token_hex(12)
        over, lines = self.out('INVITE', to, [], call_id, 1)
        contact = phone.contact(over)
        answer = await self.asked(over, [*lines, contact, 'Content-Type: application/sdp'], 'INVITE', sdp(phone.address))
        m = answer.message
        recorded = sip.header_list(m.all('record-route'))[::-1]
        self.look_at_route(recorded, over, 'a call of the phone')
        target = sip.uri_of(m['contact'] or f'<{to}>')
        tag = ';tag=' + (m['to'].partition(';tag=')[2].partition(';')[0])
        ack = phone.head('ACK', target, over, to, call_id, 1, tag, recorded)
        await phone.transmit(phone.whole(ack), over)
        await asyncio.sleep(self.options.talk)
        over, bye = self.out('BYE', target, [], call_id, 2, to, tag, recorded)
        await self.asked(over, bye, 'BYE')
        return answer.seconds

    def look_at_route(self, recorded, over, what, result=None):
        """Only to port_ps has a phone an SA from port_uc."""
        host, port = sip.host_port(sip.uri_of(recorded[0])) if recorded else (None, None)
        if not recorded:
            self.fault('no-record-route', f'{what}: there is no Record-Route, and what follows in the dialog would go past the P-CSCF',
                       result=result)
        elif same_address(host, self.options.pcscf) and port != over.port_ps:
            text = 'port_pc' if port == over.port_pc else f'port {port}'
            self.fault('dialog-port', f'{what}: its dialog is recorded with {text}, to which the phone has no SA from port_uc '
                       '(TS 24.229 clause 5.2.6.4)', recorded[0], result)

    # --- What comes

    def incoming(self, m, came):
        """A request to the phone: it is answered."""
        phone = self.phone
        key = m['via'], m['call-id'], m.cseq, m.method
        if key in phone.answered:
            if phone.answered[key]:
                phone.send_answer(phone.answered[key], m, came)
            return
        result = Result(INCOMING, phone.subscriber.impi)
        self.look_at_incoming(m, came, result)
        phone.answered[key], tag = b'', f';tag={phone.tag}'
        if m.method == 'ACK':
            task = phone.acks.pop(m['call-id'], None)
            if task:
                task.cancel()
            return
        self.report.add(result)
        if m.method == 'CANCEL':
            phone.respond(m, came, '200 OK', tag=tag)
        elif m.method == 'INVITE':
            self.ring(m, came, key, result)
        else:
            phone.answered[key] = phone.respond(m, came, '200 OK', tag=tag)

    def look_at_incoming(self, m, came, result):
        now = self.phone.now
        if not came.over:
            result.clear += 1
            self.fault('in-clear', f'{m.method} to the phone came in clear', f'from port {came.source} to port {came.port}', result)
        elif now and came.over is not now and now.used:
            result.old += 1
            self.fault('old-set', f'{m.method} to the phone came over an old set, and the phone has sent over the new one', '', result)
        elif came.port != came.over.port_s and not came.conn:
            self.fault('port', f'{m.method} to the phone came to port_uc, and not to port_us', '', result)
        if m.method == 'ACK' and result.faults:
            self.report.add(result)

    def ring(self, m, came, key, result):
        """A call to the phone: 180, 200 until its ACK comes."""
        phone, tag, over = self.phone, f';tag={self.phone.tag}', came.over or self.phone.now
        if not over:
            phone.answered[key] = phone.respond(m, came, '480 Temporarily Unavailable', tag=tag)
            return
        self.look_at_route(sip.header_list(m.all('record-route')), over, 'a call to the phone', result)
        phone.respond(m, came, '180 Ringing', [phone.contact(over)], tag=tag)
        more, body = [phone.contact(over)], ''
        if m.body:
            more, body = [*more, 'Content-Type: application/sdp'], sdp(phone.address)
        data = phone.answered[key] = phone.respond(m, came, '200 OK', more, body, tag)

        async def until_ack():
            pause, left = self.options.t1, 64 * self.options.t1
            while left > 0:
                await asyncio.sleep(pause)
                phone.send_answer(data, m, came)
                left, pause = left - pause, min(2 * pause, 16)
        if not came.conn:
            task = phone.acks[m['call-id']] = asyncio.get_running_loop().create_task(until_ack())
            phone.tasks.add(task)

    # --- All of it

    async def run(self, steps):
        """All steps, one after the other, then --hold; the phone is de-registered at the end, whatever has failed."""
        for name in steps:
            if name == 'register' and self.phone.now:
                continue
            async with self.step(name) as result:
                result.seconds = await self.do(name)
            if name == 'register' and not self.phone.now:
                return
        if self.options.hold and self.phone.now:
            await asyncio.sleep(self.options.hold)
        if self.phone.now and self.options.leave:
            async with self.step(LEAVE) as result:
                result.seconds = await self.do('deregister')

    async def do(self, name):
        if name == 'register':
            return await self.register(None)
        if name == 'message':
            return await self.message()
        if name == 'call':
            return await self.call()
        if not self.phone.now:
            raise Failure('not-registered', f'{name}: not sent, the phone is not registered')
        seconds = await self.register(self.phone.now, 0 if name == 'deregister' else None)
        if name == 'deregister':
            # What is on its way still comes to it; another registration begins in clear
            self.phone.retire(self.phone.now)
            self.phone.now = None
        return seconds


def same_address(a, b):
    """However they are written; a name is none."""
    try:
        return ipaddress.ip_address(a) == ipaddress.ip_address(b)
    except ValueError:
        return False


def sdp(address):
    """A session that nobody sends anything in."""
    family = 'IP6' if ':' in address else 'IP4'
    return (f'v=0\r\no=- 1 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\nm=audio 9 RTP/AVP 104\r\n'
            'a=rtpmap:104 AMR/8000\r\na=inactive\r\n')
