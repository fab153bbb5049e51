"""The controls that an auditor looks for, and which section of a review gives evidence for them: tables only."""

from __future__ import annotations

# Which control a section gives evidence for. Only numbers whose text is known; a report never says that one is met.
CONTROLS: dict[str, tuple[tuple[str, str], ...]] = {
    "who": (
        ("SOC 2", "CC6.1, CC6.2, CC6.3"),
        ("PCI DSS v4", "7.2.4, 8.2.1, 10.2.1.2"),
        ("GB/T 22239-2019", "8.1.4.1, 8.1.4.2"),
    ),
    "where": (("SOC 2", "CC6.1, CC6.6"), ("PCI DSS v4", "10.2.1.4, 10.2.2"), ("GB/T 22239-2019", "8.1.4.1, 8.1.4.3")),
    "when": (("SOC 2", "CC7.2"), ("PCI DSS v4", "10.2.2"), ("GB/T 22239-2019", "8.1.4.3")),
    "timeline": (("SOC 2", "CC6.1"), ("PCI DSS v4", "10.2.2"), ("GB/T 22239-2019", "8.1.4.3")),
    "ends": (("SOC 2", "CC7.2"), ("PCI DSS v4", "10.2.2"), ("GB/T 22239-2019", "8.1.4.3")),
    "abnormal": (("SOC 2", "CC6.6, CC7.2"), ("PCI DSS v4", "10.2.1.4"), ("GB/T 22239-2019", "8.1.4.3")),
    "unseen": (("SOC 2", "CC7.2"), ("PCI DSS v4", "10.2.1.6"), ("GB/T 22239-2019", "8.1.4.3")),
    "told": (("SOC 2", "CC7.2"), ("GB/T 22239-2019", "8.1.4.3")),
    "proof": (("PCI DSS v4", "10.3.2, 10.3.4"), ("GB/T 22239-2019", "8.1.4.3")),
    "sign": (("SOC 2", "CC6.3"), ("PCI DSS v4", "7.2.4"), ("GB/T 22239-2019", "8.1.4.2")),
}
STANDARDS = {
    "zh": {
        "SOC 2": {
            "CC6.1": "逻辑访问安全",
            "CC6.2": "账号的登记、授权与撤销",
            "CC6.3": "按职责授予、变更、撤销访问权限",
            "CC6.6": "防范来自系统边界之外的威胁",
            "CC7.2": "监测系统组件中的异常",
        },
        "PCI DSS v4": {
            "7.2.4": "定期复核账号和访问权限",
            "8.2.1": "每个用户有唯一标识",
            "10.2.1.2": "记录具有管理权限者的操作",
            "10.2.1.4": "记录无效的逻辑访问尝试",
            "10.2.1.6": "记录审计日志的启动、停止与暂停",
            "10.2.2": "审计日志的要素：谁、何事、何时、成败、来源",
            "10.3.2": "保护审计日志不被修改",
            "10.3.4": "审计日志的变更可被发现",
        },
        "GB/T 22239-2019": {"8.1.4.1": "身份鉴别", "8.1.4.2": "访问控制", "8.1.4.3": "安全审计"},
    },
    "en": {
        "SOC 2": {
            "CC6.1": "logical access security",
            "CC6.2": "registering, authorizing and removing users",
            "CC6.3": "access by role, changed and removed when due",
            "CC6.6": "threats from outside the system's boundaries",
            "CC7.2": "monitoring of components for anomalies",
        },
        "PCI DSS v4": {
            "7.2.4": "periodic review of accounts and access",
            "8.2.1": "a unique ID for each user",
            "10.2.1.2": "logs of actions taken with administrative access",
            "10.2.1.4": "logs of invalid access attempts",
            "10.2.1.6": "logs of audit logs being started, stopped, paused",
            "10.2.2": "what logs tell: who, what, when, success, origin",
            "10.3.2": "audit logs protected from modification",
            "10.3.4": "changes of audit logs are detected",
        },
        "GB/T 22239-2019": {"8.1.4.1": "identity authentication", "8.1.4.2": "access control", "8.1.4.3": "audit"},
    },
}
