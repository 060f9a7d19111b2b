"""The sentences about enrolling machines in Russian; the twin of `texts_en.py`."""

RU = {
    "enrolment.nav": "Подключение",
    "enrolment.title": "Подключение автоматов",
    "enrolment.line": "У каждого автомата своё имя и пароль. Код одноразовый: действует сутки, попыток — пять.",
    "enrolment.empty": "Автоматов с агентом пока нет",
    "enrolment.empty.line": "Добавьте автомат в файл парка и примените его: он появится здесь.",
    "enrolment.stands.none": "без своего пароля",
    "enrolment.stands.code": "код выдан",
    "enrolment.stands.enrolled": "подключается",
    "enrolment.stands.waits": "ждём агента",
    "enrolment.stands.online": "на связи",
    "enrolment.stands.done": "работает",
    "enrolment.stands.revoked": "доступ закрыт",
    "enrolment.code": "Получить код",
    "enrolment.code.again": "Новый код",
    "enrolment.code.until": "Код действует до {when}",
    "enrolment.code.shown": "Код показан один раз. Введите его на автомате или снимите с экрана:",
    "enrolment.step.code": "Код введён на автомате",
    "enrolment.step.broker": "Брокер знает автомат",
    "enrolment.step.online": "Агент на связи",
    "enrolment.step.state": "Автомат отвечает агенту",
    "enrolment.step.cup": "Налита пробная чашка",
    "enrolment.revoke": "Закрыть доступ",
    "enrolment.revoke.title": "Закрыть автомату доступ?",
    "enrolment.revoke.line": "Связь с ним прервётся сразу, продажи остановятся. Вернуть его можно новым кодом.",
    "enrolment.revoke.why": "Почему",
    "enrolment.is_revoked": "Доступ закрыт: автомат отключается от брокера.",
    "enrolment.stolen": "Доступ этому автомату закрывали. Если автоматы входят по сертификатам, после нового "
    "подключения его прежние сертификаты снова действуют. Если сертификат украли, сначала смените удостоверяющий "
    "центр: operations.md, раздел «Certificates of machines».",
    "enrolment.had_none": "Этого автомата у брокера уже нет.",
    "enrolment.cannot": "Этому автомату код не выдать: он без агента, носит имя самого облака у брокера "
    "или открыто слишком много кодов.",
    "enrolment.by_hand": "На этом брокере доступ автоматам даёт и закрывает человек: COFFEE_BROKER_RIGHTS не задан.",
    "enrolment.version": "агент {version}",
}
